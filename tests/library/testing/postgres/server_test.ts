import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { startPostgres } from "../../../../src/dev/postgres.ts";
import { processIdentity } from "../../../../src/library/testing/postgres/process.ts";
import { roles } from "../../../../src/library/testing/postgres/passwords.ts";
import { startRelay } from "../../../../src/library/testing/relay/relay.ts";
import { runAlone } from "../../../support/branch.ts";
import { askUrl } from "../../../dev/open_url.ts";
import { makeScratch } from "../../../dev/scratch.ts";

function postgresTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, timeout: 60_000 });
}

postgresTest("startPostgres() serves PostgreSQL 18 to every role, in UTF-8", async () => {
  await using postgres = await startPostgres({ ephemeral: true });
  for (const role of roles) {
    const pipelineConnect = role === "user_service_scram" ? "off" : "on";
    const [row] = await askUrl(
      postgres.url({ role }),
      "select current_user::text as role, current_setting('server_encoding') as encoding, " +
        "current_setting('server_version_num')::int / 10000 as version, upper('é') as upper",
      { pipelineConnect },
    );
    assertEquals({ ...row }, { role, encoding: "UTF8", version: 18, upper: "É" });
  }
});

postgresTest(
  "startPostgres() lets the service use the owner's tables but own none",
  async () => {
    await using postgres = await startPostgres({ ephemeral: true });
    const owner = postgres.url({ role: "user_service_owner" });
    await askUrl(owner, "create table things (id serial primary key, name text)");
    await askUrl(owner, "create schema parts create table parts.wheels (id int)");
    for (const role of ["user_service", "user_service_scram"] as const) {
      const url = postgres.url({ role });
      const options = { pipelineConnect: role === "user_service" ? "on" : "off" } as const;
      await askUrl(url, "insert into things (name) values ('a'), ('b')", options);
      await askUrl(url, "update things set name = 'c'", options);
      await askUrl(url, "delete from things", options);
      await askUrl(url, "select * from parts.wheels", options);
      for (
        const refused of [
          "drop table things",
          "truncate things",
          "create table mine (id int)",
          "create schema mine",
          "create database mine",
          "alter table things disable row level security",
        ]
      ) await assertRejects(() => askUrl(url, refused, options));
    }
    const [service] = await askUrl(
      postgres.url({ role: "postgres" }),
      "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb from pg_roles " +
        "where rolname = 'user_service'",
    );
    assertEquals(Object.values(service!), [false, false, false, false]);
  },
);

postgresTest("startPostgres() asks one role for SCRAM and the others for a password", async () => {
  await using postgres = await startPostgres({ ephemeral: true });
  const rules = await askUrl(
    postgres.url({ role: "postgres" }),
    "select user_name[1]::text as role, address, auth_method from pg_hba_file_rules order by rule_number",
  );
  assertEquals(rules.map((rule) => Object.values(rule)), [
    ["user_service_scram", "127.0.0.1", "scram-sha-256"],
    ["all", "127.0.0.1", "password"],
  ]);
  const wrong = postgres.url().replace(/:[0-9a-f]{32}@/, `:${"0".repeat(32)}@`);
  assertNotEquals(wrong, postgres.url());
  await assertRejects(() => askUrl(wrong, "select 1"));
});

postgresTest("startPostgres() copies privileges into databases made from its own", async () => {
  await using postgres = await startPostgres({ ephemeral: true });
  const role = "user_service_owner";
  await using relay = await startRelay({
    targets: [{ hostname: "127.0.0.1", port: postgres.port }],
  });
  // CREATE DATABASE refuses to run in a transaction, and so in a session.
  await runAlone({
    DATABASE_URL: postgres.url({ role: "postgres", database: "postgres" }),
    DATABASE_WS_PROXY: relay.url,
    DATABASE_PIPELINE_CONNECT: "on",
  }, "create database branch template user_service owner user_service_owner");
  await askUrl(postgres.url({ role, database: "branch" }), "create table things (id int)");
  await askUrl(postgres.url({ database: "branch" }), "insert into things values (1)");
});

postgresTest(
  "startPostgres() keeps data, passwords and port from one start to the next",
  async () => {
    await using scratch = await makeScratch();
    const first = await startPostgres({ directory: scratch.path });
    await askUrl(first.url({ role: "user_service_owner" }), "create table kept (id int)");
    await first.stop();
    await using second = await startPostgres({ directory: scratch.path });
    assertEquals(second.url(), first.url());
    assertEquals(await askUrl(second.url(), "select * from kept"), []);
  },
);

postgresTest("startPostgres() moves to another port when its own is taken", async () => {
  await using scratch = await makeScratch();
  const first = await startPostgres({ directory: scratch.path });
  await first.stop();
  using _taken = Deno.listen({ hostname: "127.0.0.1", port: first.port });
  await using second = await startPostgres({ directory: scratch.path });
  assertNotEquals(second.port, first.port);
  assertEquals((await askUrl(second.url(), "select 1 as one"))[0]!["one"], 1);
});

postgresTest(
  "startPostgres() keeps passwords, data and log unreadable for other users",
  async () => {
    await using postgres = await startPostgres({ ephemeral: true });
    const { mode } = await Deno.stat(join(postgres.directory, "credentials.json"));
    assertEquals(mode! & 0o777, 0o600);
    for (const name of ["data", "log"]) {
      const { mode } = await Deno.stat(join(postgres.directory, name));
      assertEquals(mode! & 0o077, 0, name);
    }
  },
);

postgresTest(
  "stop() ends the server and removes ephemeral data, also when called twice",
  async () => {
    const postgres = await startPostgres({ ephemeral: true });
    await Promise.all([postgres.stop(), postgres.stop({ immediately: true })]);
    await postgres.stop();
    assertEquals(await processIdentity(postgres.pid), undefined);
    await assertRejects(() => Deno.stat(postgres.directory), Deno.errors.NotFound);
  },
);

postgresTest("startPostgres() starts several servers at once", async () => {
  const servers = await Promise.all([1, 2, 3].map(() => startPostgres({ ephemeral: true })));
  assertEquals(new Set(servers.map(({ port }) => port)).size, 3);
  await Promise.all(servers.map((server) => server.stop()));
  for (const { pid } of servers) assert(await processIdentity(pid) === undefined);
});
