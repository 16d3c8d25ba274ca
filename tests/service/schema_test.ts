/** Schema and code must agree: what start and `/readyz` say of an empty, an older, a newer and an unreadable database. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { trustedSql } from "../../src/db/mod.ts";
import { migrate } from "../../src/dev/migrate.ts";
import { start } from "../../src/deno/service.ts";
import { applyMigrations } from "../../src/migrations/apply.ts";
import { migrations } from "../../src/migrations/mod.ts";
import { migrationNames } from "../../src/migrations/names.ts";
import { faultOf, NEED_REASON } from "../../src/migrations/safety.ts";
import { withToken } from "../support/access.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";

const database = await localDatabase();
const OWNER = "user_service_owner";

async function asOwner(branch: LocalBranch, ...texts: string[]): Promise<void> {
  const db = branch.open(branch.envOf(OWNER));
  await db.transaction((session) => session.commit(texts.map((text) => trustedSql(text))));
}

/** Starts the service on the branch, with more settings, and runs with a function that sends requests and the lines that it has logged. */
async function serving(
  branch: LocalBranch,
  run: (
    request: typeof fetch,
    lines: readonly Record<string, unknown>[],
  ) => void | Promise<void>,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const lines: Record<string, unknown>[] = [];
  const { error } = console;
  console.error = (line: string) => lines.push(JSON.parse(line));
  const service = await start({
    ...branch.env,
    PORT: "0",
    LOG_LEVEL: "warn",
    QUEUE_CONCURRENCY: "0",
    ...env,
  }, {
    hostname: "127.0.0.1",
  });
  try {
    await service.reportSchema();
    await run((path, init) => fetch(`${service.url}${path}`, withToken(init)), lines);
  } finally {
    await service.shutdown();
    console.error = error;
  }
}

function seen(lines: readonly Record<string, unknown>[], event: RegExp): Record<string, unknown> {
  const line = lines.find((line) => event.test(String(line["event"])));
  assert(line !== undefined, JSON.stringify(lines));
  return line;
}

Deno.test("on an empty database the start and /readyz name the missing migrations, until they are applied", async () => {
  await using branch = await database.connect();
  await asOwner(branch, "drop schema public cascade", "create schema public");
  await serving(branch, async (request, lines) => {
    const line = seen(lines, /^migrations are missing; run "deno task migrate"/);
    assertEquals([line["level"], line["missing"]], ["error", [...migrationNames]]);
    const refused = await request("/readyz");
    const problem = await refused.json();
    assertEquals([refused.status, problem.type], [503, "/problems/migrations-missing"]);
    assertStringIncludes(problem.detail, `${migrationNames.join(", ")}; run "deno task migrate"`);
    await asOwner(branch, "grant usage on schema public to user_service");
    await migrate(branch.envOf(OWNER));
    const ready = await request("/readyz");
    assertEquals([ready.status, await ready.json()], [200, { status: "ready" }]);
  });
});

Deno.test("an older database is not ready, and its missing migration is named", async () => {
  await using branch = await database.connect();
  const last = migrationNames.at(-1)!;
  await asOwner(branch, `delete from migrations where name = '${last}'`);
  await serving(branch, async (request, lines) => {
    assertEquals((seen(lines, /^migrations are missing/))["missing"], [last]);
    const refused = await request("/readyz");
    assertEquals(refused.status, 503);
    assertStringIncludes((await refused.json()).detail, `lacks migrations: ${last};`);
  });
  await asOwner(branch, `insert into migrations (name) values ('${last}')`);
});

Deno.test("a role that may not read the migrations is told so at the start, and stays ready", async () => {
  await using branch = await database.connect();
  await asOwner(branch, "revoke all on migrations from user_service");
  await serving(branch, async (request, lines) => {
    assertMatch(String((seen(lines, /^cannot compare/))["event"]), /grant select/);
    const ready = await request("/readyz");
    assertEquals([ready.status, await ready.json()], [200, { status: "ready" }]);
  });
  await asOwner(branch, "grant select on migrations to user_service");
});

Deno.test("a role that sees the rows of all tenants is named at the start, and the service is not ready", async () => {
  await using branch = await database.connect();
  await branch.asAdmin("alter role user_service_scram bypassrls");
  for (const role of ["postgres", "user_service_scram"] as const) {
    await serving(branch, async (request, lines) => {
      const line = seen(lines, /^the role of DATABASE_URL sees the rows of all tenants; /);
      assertEquals([line["level"], line["role"]], ["error", role]);
      const refused = await request("/readyz");
      const problem = await refused.json();
      assertEquals([refused.status, problem.type], [503, "/problems/policies-bypassed"]);
      assert(!JSON.stringify(problem).includes(role), "roles are nothing for the public");
    }, branch.envOf(role));
  }
  await branch.asAdmin("alter role user_service_scram nobypassrls");
  // The policies are forced on the owner.
  await serving(branch, async (request, lines) => {
    assertEquals(lines, []);
    const ready = await request("/readyz");
    assertEquals([ready.status, await ready.json()], [200, { status: "ready" }]);
  }, branch.envOf(OWNER));
});

/** One of each kind of change that README.md allows. */
const NEXT_RELEASE = {
  name: "9999_next_release",
  statements: [
    "alter table users add column nickname text",
    "alter table users add column seen integer not null default 0",
    "create index users_nickname on users (nickname)",
    "create table nicknames (user_id uuid primary key, nickname text not null)",
    "alter table users add constraint short check (length(nickname) < 100) not valid",
  ],
};

Deno.test("this version serves on the database of the next release, and names its migrations", async () => {
  await using branch = await database.connect();
  assertEquals(
    NEXT_RELEASE.statements.map((text) => faultOf(text)),
    NEXT_RELEASE.statements.map(() => undefined),
  );
  await serving(branch, async (request, lines) => {
    const json = (method: string, body: unknown, headers = {}) => ({
      method,
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    const before = await request("/users", json("POST", { email: "old@example.com", name: "Old" }));
    assertEquals(before.status, 201);
    await before.body?.cancel();
    // The order of a deployment: migrate while the running version serves.
    const db = branch.open(branch.envOf(OWNER));
    assertEquals(await applyMigrations(db, [...migrations, NEXT_RELEASE]), ["9999_next_release"]);
    const created = await request("/users", json("POST", { email: "a@example.com", name: "A" }));
    const { id } = await created.json();
    assertEquals(created.status, 201);
    const ETag = created.headers.get("ETag")!;
    const changed = await request(
      `/users/${id}`,
      json("PATCH", { name: "B" }, { "If-Match": ETag }),
    );
    assertEquals([changed.status, (await changed.json()).name], [200, "B"]);
    assertEquals((await (await request("/users")).json()).users.length, 2);
    const activity = await request(`/users/${id}/activity`);
    await activity.body?.cancel();
    assertEquals(activity.status, 200);
    const gone = await request(`/users/${id}`, { method: "DELETE" });
    await gone.body?.cancel();
    assertEquals(gone.status, 204);
    const ready = await request("/readyz");
    assertEquals([ready.status, await ready.json()], [200, {
      status: "ready",
      newerMigrations: ["9999_next_release"],
    }]);
    assertEquals(lines, []);
  });
  await serving(branch, (_, lines) => {
    const line = seen(lines, /newer version/);
    assertEquals([line["level"], line["unknown"]], ["warn", ["9999_next_release"]]);
  });
});

Deno.test("no migration from 0008 on breaks the version that runs while it is applied", () => {
  assertEquals(migrations.map(({ name }) => name), [...migrationNames]);
  // Those up to 0007 came before the rule.
  for (const { statements, reason } of migrations.slice(7)) {
    for (const text of statements) {
      const fault = faultOf(text, statements);
      assert(fault === undefined || (NEED_REASON.has(fault) && reason !== undefined), text);
    }
  }
  const safe = [
    "alter table users add column if not exists nickname text",
    "alter table users add column team uuid references teams (id)",
    "alter table users add column age integer default 0 not null",
  ];
  for (const text of safe) assertEquals(faultOf(text), undefined, text);
  const unsafe = [
    "drop table users",
    "ALTER TABLE users DROP COLUMN name",
    "alter table users rename column name to full_name",
    "alter table users rename to people",
    "alter table users alter column name type varchar(10)",
    "alter table users alter name set not null",
    "alter table users add column age integer not null",
    "alter table users add age integer not null",
    "alter table users add constraint c check (name <> '')",
    "alter table users add unique (name)",
    "create unique index users_name on users (name)",
    "drop index users_email",
    "revoke select on users from user_service",
    "truncate users",
    "drop /* quietly */ table users",
    "-- harmless\ndrop table users",
    "update users set name = ''",
    "create trigger t before insert on users execute function f()",
    "alter table users add column a text, drop column name",
    // Every insert of the running version would write the same default.
    "alter table users add column code text default 'a' unique",
    "alter table users add column code text primary key",
    "alter table users add column age integer default -1 check (age > 0)",
    "alter table users add column age integer check (coalesce(age, 0) > 0)",
    "alter table users add column team uuid default '…' references teams (id)",
    "alter table users add column age integer not null default null",
    // Rewrites the table under a lock that nobody else can have.
    "alter table users add column a text generated always as (name) stored, drop column name",
    "alter table users add column length integer generated always as (length(name)) stored",
    // Its rows would appear among the users.
    "create table guests (visits integer) inherits (users)",
    "create table users_2026 partition of users for values in ('2026')",
    // Not possible in the one transaction of all migrations.
    "create index concurrently on users (name)",
  ];
  for (const text of unsafe) assert(faultOf(text) !== undefined, text);
});
