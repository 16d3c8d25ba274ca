/** `deno task doctor`: what it says of real servers, a real PgBouncer, and of databases that do not answer. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { trustedSql } from "../../src/db/mod.ts";
import { TABLES } from "../../src/dev/doctor/checks.ts";
import { examine } from "../../src/dev/doctor/main.ts";
import { type Finding, reportOf } from "../../src/dev/doctor/finding.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";
import { pgBouncerTest } from "../support/pgbouncer_case.ts";
import { echo, Peer } from "../support/relay_peers.ts";
import { copyCheckout } from "./checkout_copy.ts";

const database = await localDatabase();

function byName(findings: readonly Finding[], name: string): Finding {
  const finding = findings.find((each) => each.name === name);
  assert(finding !== undefined, `${name} is not in\n${reportOf(findings)}`);
  return finding;
}

function statusesOf(findings: readonly Finding[]): Record<string, string> {
  return Object.fromEntries(findings.map(({ name, status }) => [name, status]));
}

async function asOwner(branch: LocalBranch, text: string): Promise<void> {
  const db = branch.open(branch.envOf("user_service_owner"));
  await db.transaction((session) => session.commit([trustedSql(text)]));
}

const SMALL_POOL = { DATABASE_POOL_SIZE: "5", DATABASE_MAX_OVERFLOW: "5" };

Deno.test("the doctor finds nothing wrong with the service's role on a migrated server", async () => {
  await using branch = await database.connect();
  const findings = await examine({ ...branch.env, ...SMALL_POOL });
  assertEquals(statusesOf(findings), {
    settings: "ok",
    access: "ok",
    reach: "ok",
    login: "ok",
    server: "ok",
    pooler: "ok",
    connections: "ok",
    rights: "ok",
    migrations: "ok",
    clocks: "ok",
    "round trip": findings.at(-1)!.status,
  });
  assertMatch(byName(findings, "pooler").found, /^none/);
  assertMatch(byName(findings, "round trip").found, /^\d+\.\d ms/);
  for (const { found, advice } of findings) {
    assertMatch(advice, /^\S.+\.$/);
    assert(found !== "");
  }
  const { password } = new URL(branch.env["DATABASE_URL"]!);
  assert(!JSON.stringify(findings).includes(password));
  assertMatch(reportOf(findings), / ok, \d with advice, 0 failed$/);
});

Deno.test("the doctor knows every table that the migrations create", async () => {
  await using branch = await database.connect();
  const tables = await branch.asAdmin<{ tablename: string }>(
    "select tablename from pg_tables where schemaname = 'public' and tablename <> 'migrations'",
  );
  assertEquals(TABLES.toSorted(), tables.map(({ tablename }) => tablename).sort());
});

Deno.test("the doctor starts a relay of its own where the service needs one and has none, and says so", async () => {
  await using branch = await database.connectDirectly();
  const findings = await examine({ ...branch.env, DATABASE_TRANSPORT: "websocket" });
  assertEquals(byName(findings, "settings").status, "advice");
  assertEquals(byName(findings, "migrations").status, "ok");
});

Deno.test("the doctor names variables of the database that the service does not read", async () => {
  await using branch = await database.connectDirectly();
  const settings = byName(await examine({ ...branch.env, DATABASE_POOLSIZE: "3" }), "settings");
  assertEquals(settings.status, "advice");
  assertEquals(settings.found, "valid; the service does not read DATABASE_POOLSIZE");
  const [failed] = await examine({ DATABASE_URLL: branch.env["DATABASE_URL"]!, DATABASE_X: "" });
  assertEquals(failed!.status, "failed");
  assertMatch(failed!.found, /DATABASE_URL is not set.*; the service does not read DATABASE_URLL$/);
});

Deno.test("the doctor's advice leaves room for what the message of a failed connect says", async () => {
  await using branch = await database.connectDirectly();
  const url = new URL(branch.env["DATABASE_URL"]!);
  url.searchParams.set("sslmode", "require");
  const reach = byName(await examine({ ...branch.env, DATABASE_URL: url.href }), "reach");
  assertMatch(reach.found, /does not support TLS.*set sslmode=disable/);
  assertMatch(reach.advice, /^Do what the message says; .* host and the port of DATABASE_URL/);

  const env = { ...branch.envOf("user_service_scram"), DATABASE_PIPELINE_CONNECT: "on" };
  const login = byName(await examine({ ...branch.env, ...env }), "login");
  assertMatch(login.found, /set DATABASE_PIPELINE_CONNECT=off.*\(SQLSTATE 08P01\)$/);
  assertMatch(login.advice, /^Do what the message says, or /);
});

Deno.test("the doctor examines a database over TCP as the service reaches it, without a relay", async () => {
  await using branch = await database.connectDirectly();
  const findings = await examine(branch.env);
  assertEquals(byName(findings, "settings").status, "ok");
  assertMatch(byName(findings, "pooler").found, /^none/);
  assertEquals(byName(findings, "migrations").status, "ok");
});

Deno.test("the doctor names missing and newer migrations, and rights that are too few or too many", async () => {
  await using branch = await database.connect();
  await asOwner(branch, "delete from migrations where name = '0007_no_inbox'");
  await asOwner(branch, "insert into migrations (name) values ('9999_newer')");
  await asOwner(branch, "revoke delete on users from user_service");
  const ill = await examine(branch.env);
  assertEquals(byName(ill, "migrations").status, "failed");
  assertMatch(byName(ill, "migrations").found, /0007_no_inbox/);
  assertEquals(byName(ill, "rights").status, "failed");
  assertMatch(byName(ill, "rights").found, /without full rights on users$/);

  await asOwner(branch, "insert into migrations (name) values ('0007_no_inbox')");
  await asOwner(branch, "grant delete on users to user_service");
  const well = await examine(branch.env);
  assertMatch(byName(well, "migrations").found, /^newer ones: 9999_newer$/);
  assertEquals([byName(well, "migrations").status, byName(well, "rights").status], ["ok", "ok"]);
  await asOwner(branch, "delete from migrations where name = '9999_newer'");

  const roles = [
    ["postgres", "failed", /a superuser/],
    ["user_service_owner", "advice", /the owner/],
  ] as const;
  for (const [role, status, kind] of roles) {
    const rights = byName(await examine(branch.envOf(role)), "rights");
    assertEquals(rights.status, status);
    assertMatch(rights.found, kind);
  }
  await branch.asAdmin("alter role user_service_scram bypassrls");
  const bypassing = byName(await examine(branch.envOf("user_service_scram")), "rights");
  await branch.asAdmin("alter role user_service_scram nobypassrls");
  assertEquals(bypassing.status, "failed");
  assertMatch(bypassing.found, /^role "user_service_scram", with BYPASSRLS/);
});

Deno.test("the doctor says that no client could send a request", async () => {
  await using branch = await database.connect();
  const { API_TOKENS: _, ...env } = branch.env;
  const none = byName(await examine(env), "access");
  assertEquals([none.status, none.found], [
    "failed",
    "neither API_TOKENS nor AUTH_JWKS_URL is set",
  ]);
  const jwt = {
    AUTH_JWKS_URL: "https://id.example.com/jwks.json",
    AUTH_ISSUER: "https://id.example.com/",
    AUTH_AUDIENCE: "users",
  };
  const issuer = byName(await examine({ ...env, ...jwt }), "access");
  assertEquals([issuer.status, issuer.found], ["ok", "JWTs of https://id.example.com/"]);
});

Deno.test("the doctor compares the pools of all instances with what the role may open", async () => {
  await using branch = await database.connect();
  const few = byName(
    await examine({ ...branch.env, ...SMALL_POOL }, { instances: 1 }),
    "connections",
  );
  const limit = Number(/^(\d+) for this role/.exec(few.found)![1]);
  assertEquals(few.status, "ok");
  const [kept, all] = [Math.floor(limit / 10) + 1, Math.floor(limit / 5) + 1];
  for (const [instances, status] of [[kept, "advice"], [all, "failed"]] as const) {
    const many = byName(
      await examine({ ...branch.env, ...SMALL_POOL }, { instances }),
      "connections",
    );
    assertEquals(many.status, status, `${instances} instances of ${limit}: ${many.found}`);
    assertMatch(many.advice, new RegExp(` ${Math.floor(limit / instances)} or less`));
  }
});

Deno.test("the doctor never advises a pool of no connections", async () => {
  await using branch = await database.connect();
  const { status, advice } = byName(
    await examine({ ...branch.env, ...SMALL_POOL }, { instances: 99_999 }),
    "connections",
  );
  assertEquals(status, "failed");
  assertMatch(advice, /^Run at most [1-9]\d* instances, raise max_connections, or put a pooler/);
});

Deno.test("the doctor tells tables that the role cannot see from missing ones", async () => {
  await using branch = await database.connect();
  await branch.asAdmin("revoke usage on schema public from public");
  // All tests of this file share one database.
  await using _ = {
    [Symbol.asyncDispose]: async () => {
      await branch.asAdmin("grant usage on schema public to public");
    },
  };
  const findings = await examine({ ...branch.env, ...SMALL_POOL });
  const rights = byName(findings, "rights");
  assertEquals(rights.status, "failed");
  assertMatch(rights.found, /does not see dead_letters, .*, users of schema public$/);
  assertMatch(rights.advice, /^Grant it usage on schema public/);
  assertMatch(byName(findings, "migrations").advice, /^See the rights/);
});

Deno.test("the doctor finds that transactions are read only", async () => {
  await using branch = await database.connect();
  const [row] = await branch.asAdmin<{ name: string }>("select current_database() as name");
  const role = `alter role user_service in database "${row!.name}"`;
  await branch.asAdmin(`${role} set default_transaction_read_only = on`);
  await using _ = {
    [Symbol.asyncDispose]: async () => {
      await branch.asAdmin(`${role} reset default_transaction_read_only`);
    },
  };
  const server = byName(await examine({ ...branch.env, ...SMALL_POOL }), "server");
  assertEquals(server.status, "failed");
  assertMatch(server.found, /read only by default$/);
  assertMatch(server.advice, /default_transaction_read_only/);
});

pgBouncerTest("the doctor tells a pooler in transaction mode", async (branch) => {
  const pooler = byName(await examine({ ...branch.env, DATABASE_POOL_SIZE: "9000" }), "pooler");
  assertMatch(pooler.found, /^a pooler in transaction mode/);
  assertEquals(await branch.leftovers(), []);
});

Deno.test("the doctor tells settings, a host that does not answer, and a refused login apart", async () => {
  await using branch = await database.connect();
  const url = new URL(branch.env["DATABASE_URL"]!);
  const with_ = (change: (url: URL) => void) => {
    const changed = new URL(url);
    change(changed);
    return { ...branch.env, DATABASE_URL: changed.href };
  };
  const seen = async (env: Record<string, string | undefined>) => {
    const findings = await examine(env);
    const failed = findings.filter(({ status }) => status === "failed");
    assertEquals(failed.length, 1, reportOf(findings));
    return failed[0]!;
  };
  assertEquals((await seen({})).name, "settings");
  assertMatch(
    (await seen({ ...branch.env, DATABASE_POOL_SIZE: "no" })).found,
    /DATABASE_POOL_SIZE/,
  );
  assertEquals((await seen({ DATABASE_URL: "postgresql://x" })).name, "settings");

  const wrong = await seen(with_((url) => url.password = "wrong"));
  assertEquals(wrong.name, "login");
  assertMatch(wrong.found, /SQLSTATE 28P01/);
  assertMatch(wrong.advice, /password/);
  const none = await seen(with_((url) => url.pathname = "/no_such"));
  assertMatch(none.found, /SQLSTATE 3D000/);

  const gone = new Peer(echo);
  const { address } = gone;
  await gone[Symbol.asyncDispose]();
  const dead = await seen({ ...with_((url) => url.host = address), DATABASE_WS_PROXY: undefined });
  assertEquals(dead.name, "reach");
  assertMatch(dead.found, new RegExp(`ECONNREFUSED ${address}`));
});

Deno.test({
  name:
    "deno task doctor exits with 0 if the service would work, else with 1, and prints JSON on demand",
  timeout: 60_000,
  async fn() {
    await using branch = await database.connect();
    await using checkout = await copyCheckout();
    const file = `${checkout.path}/.env`;
    const write = (env: Record<string, string | undefined>) =>
      Deno.writeTextFile(
        file,
        Object.entries(env).map(([name, value]) => `${name}='${value}'\n`).join(""),
      );
    await write({ ...branch.env, ...SMALL_POOL });
    const plain = await checkout.run("doctor/main.ts");
    assertEquals(plain.code, 0, plain.text);
    assertMatch(plain.text, /^ok +settings: valid$/m);
    const json = await checkout.run("doctor/main.ts", ["--json", "--instances=99999"]);
    assertEquals(json.code, 1);
    const { isHealthy, findings } = JSON.parse(json.text);
    assertEquals([isHealthy, byName(findings, "connections").status], [false, "failed"]);
    for (const args of [["--instances=0"], ["--jsn"], ["now"]]) {
      assertEquals((await checkout.run("doctor/main.ts", args)).code, 2, args.join());
    }
  },
});
