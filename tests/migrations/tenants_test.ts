/** What row-level security lets a unit of work see and write, in the tables themselves. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Database, ServerError, type Sql, sql, trustedSql } from "../../src/db/mod.ts";
import { applyMigrations } from "../../src/migrations/apply.ts";
import { migrations } from "../../src/migrations/mod.ts";
import { faultOf } from "../../src/migrations/safety.ts";
import { EVERY_TENANT, type TenantLocals, tenantLocals } from "../../src/tenant.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";

const database = await localDatabase();
const OWNER = "user_service_owner";

const ID = "01890000-0000-7000-8000-000000000001";

/** An INSERT into each table, as the code writes it, which does not name the tenant. */
const INSERTS: Readonly<Record<string, (name: string) => Sql>> = {
  users: (name) =>
    sql`insert into users (id, email, name) values (gen_random_uuid(), ${name}, ${name})`,
  user_events: () =>
    sql`insert into user_events (user_id, version, type, data) values (gen_random_uuid(), 1, 'x', '{}')`,
  user_activity: () =>
    sql`insert into user_activity (user_id, version, type, occurred_at) values (gen_random_uuid(), 1, 'x', now())`,
  dead_letters: (name) =>
    sql`insert into dead_letters (consumer, message_id, body, error, attempts) values ('x', ${name}, '{}', 'x', 1)`,
  transaction_keys: (name) => sql`insert into transaction_keys (key) values (${name})`,
};

const TABLES = Object.keys(INSERTS);

async function run(db: Database, statement: Sql, locals?: TenantLocals): Promise<unknown[]> {
  const [rows] = await db.transaction(
    (session) => session.commit([statement]),
    locals === undefined ? {} : { locals },
  );
  return rows;
}

/** Which tenants' rows a unit of work sees. */
async function seen(db: Database, table: string, locals?: TenantLocals): Promise<string[]> {
  const rows = await run(
    db,
    trustedSql(`select distinct tenant from ${table} order by tenant`),
    locals,
  );
  return (rows as { tenant: string }[]).map(({ tenant }) => tenant);
}

/** Makes a row of three tenants in each table. */
async function fill(db: Database): Promise<void> {
  for (const table of TABLES) {
    await run(db, INSERTS[table]!(`${table} of nobody`));
    for (const tenant of ["acme", "globex"]) {
      await run(db, INSERTS[table]!(`${table} of ${tenant}`), tenantLocals(tenant));
    }
  }
}

async function withTenants(fn: (branch: LocalBranch, db: Database) => Promise<void>) {
  await using branch = await database.connect();
  await branch.asAdmin(`truncate ${TABLES.join(", ")}`);
  // One connection, so that each unit follows another tenant's in the same session.
  const db = branch.open({ DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" });
  await fill(db);
  await fn(branch, db);
}

Deno.test("each table has a tenant, and policies that bind its owner too", async () => {
  await using branch = await database.connect();
  const tables = await branch.asAdmin<{ name: string; forced: boolean; columns: bigint }>(`
    select relname as name, relrowsecurity and relforcerowsecurity as forced,
      (select count(*) from pg_attribute where attrelid = c.oid and attname = 'tenant' and attnotnull) as columns
    from pg_class c where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'migrations'`);
  assert(tables.length >= TABLES.length);
  // A table of a later migration that holds nothing of tenants is an exception that its migration explains.
  for (const { name, forced, columns } of tables) {
    assertEquals([name, forced, columns], [name, true, 1n]);
  }
});

Deno.test("a unit of work sees and writes the rows of its tenant, and without one those of default", async () => {
  await withTenants(async (_, db) => {
    for (const table of TABLES) {
      assertEquals(await seen(db, table), ["default"], table);
      assertEquals(await seen(db, table, tenantLocals("acme")), ["acme"], table);
      // The connection has had a tenant: what is left of that shows the rows of default only.
      assertEquals(await seen(db, table), ["default"], table);
      assertEquals(await seen(db, table, tenantLocals("nobody")), [], table);
      assertEquals(await seen(db, table, { "app.tenant": "" }), ["default"], table);
    }
  });
});

Deno.test("a prepared statement and its plan show each tenant its own rows", async () => {
  await withTenants(async (_, db) => {
    const all = ["acme", "default", "globex", "nobody"];
    // The server plans a statement for good at its sixth use.
    for (let turn = 0; turn < 8; turn++) {
      for (const tenant of all) {
        const expected = tenant === "nobody" ? [] : [tenant];
        assertEquals(await seen(db, "users", tenantLocals(tenant)), expected);
      }
    }
  });
});

Deno.test("the service's own work sees the rows of all tenants but in users, and writes none of its own", async () => {
  await withTenants(async (_, db) => {
    for (const table of TABLES) {
      const expected = table === "users" ? [] : ["acme", "default", "globex"];
      assertEquals(await seen(db, table, EVERY_TENANT), expected, table);
      const error = await assertRejects(
        () => run(db, INSERTS[table]!("of the service"), EVERY_TENANT),
        ServerError,
      );
      assertEquals([error.sqlState, table], ["42501", table]);
    }
  });
});

Deno.test("no unit of work changes, moves or deletes another tenant's rows", async () => {
  await withTenants(async (branch, db) => {
    const acme = tenantLocals("acme");
    for (const table of TABLES) {
      const all = `select count(*)::int as count from ${table} where tenant <> 'acme'`;
      const [before] = await branch.asAdmin(all);
      for (
        const text of [
          `update ${table} set tenant = tenant where tenant = 'globex' returning 1`,
          `delete from ${table} where tenant = 'default' returning 1`,
          `select 1 from ${table} where tenant = 'globex' for update`,
        ]
      ) {
        assertEquals(await run(db, trustedSql(text), acme), [], text);
      }
      for (const tenant of ["globex", "*"]) {
        const move = trustedSql(`update ${table} set tenant = '${tenant}'`);
        const error = await assertRejects(() => run(db, move, acme), ServerError);
        assertEquals(error.sqlState, "42501", "a row cannot be given away");
      }
      assertEquals(await branch.asAdmin(all), [before], table);
    }
  });
});

Deno.test("the version before serves on while tenants are added, and knows a taken address by the same name", async () => {
  await using branch = await database.connect();
  const owner = branch.open(branch.envOf(OWNER));
  const texts = [
    "drop schema public cascade",
    "create schema public",
    "grant usage on schema public to user_service",
  ];
  await owner.transaction((session) => session.commit(texts.map((text) => trustedSql(text))));
  await applyMigrations(owner, migrations.slice(0, 7));
  const db = branch.open();
  const old = (email: string) =>
    run(
      db,
      sql`
      with changed as (
        insert into users (id, email, name) values (gen_random_uuid(), ${email}, 'Old') returning *
      ), event as (
        insert into user_events (user_id, version, type, data)
        select id, version, 'user.created', '{}' from changed
      )
      select id from changed`,
    );
  await old("before@example.com");
  let count = 0;
  let isOver = false;
  const writing = (async () => {
    while (!isOver) await old(`old${count++}@example.com`);
  })();
  const until = async (more: number) => {
    const from: number = count;
    while (count < from + more) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  await until(5);
  const applied = await applyMigrations(owner, migrations);
  assertEquals(applied[0], "0008_tenants");
  await until(5);
  isOver = true;
  await writing;
  const error = await assertRejects(() => old("BEFORE@example.com"), ServerError);
  assertEquals([error.sqlState, error.constraint], ["23505", "users_email_key"]);
  const [row] = await branch.asAdmin(`
    select (select count(*)::int from users where tenant = 'default') as users,
      (select count(*)::int from user_events where tenant = 'default') as events`);
  assertEquals(row, { users: count + 1, events: count + 1 });
  // A tenant that came meanwhile is invisible to it.
  await run(
    db,
    sql`insert into users (id, email, name) values (${ID}, 'x@example.com', 'New')`,
    tenantLocals("acme"),
  );
  const found = await run(db, sql`select id from users where id = ${ID}`);
  assertEquals(found, []);
});

Deno.test("policies and a unique index in place of another are safe only as a whole", () => {
  const fallback = "coalesce(nullif(current_setting('app.tenant', true), ''), 'default')";
  const policy = `create policy p on users using (tenant = ${fallback})`;
  const enable = "alter table users enable row level security";
  const force = "ALTER TABLE users FORCE ROW LEVEL SECURITY";
  const faults = (...all: string[]) => all.map((text) => faultOf(text, all) !== undefined);
  assertEquals(faults(policy, enable, force), [false, false, false]);
  assertEquals(faults(enable, force), [true, true], "nobody would see a row");
  assertEquals(faults("create policy p on other using (true)", enable), [true, true]);
  const strict = "create policy p on users using (tenant = current_setting('app.tenant'))";
  assertEquals(faults(strict, enable), [true, true], "the running version sets no tenant");
  assertEquals(faults(policy, strict, enable), [true, true, true]);
  const half = `${policy} with check (tenant = current_setting('app.tenant'))`;
  assertEquals(faults(half, enable), [true, true]);
  const own = [
    "create table notes (tenant text)",
    "create policy p on notes using (false)",
    "alter table notes enable row level security",
  ];
  assertEquals(faults(...own), [false, false, false], "a table that it does not know");
  assertEquals(faults("alter table users disable row level security"), [true]);
  assertEquals(faults("drop policy p on users"), [true]);

  const [make, drop, rename] = [
    "create unique index users_new on users (tenant, lower(email))",
    "drop index users_email_key",
    "alter index users_new rename to users_email_key",
  ] as const;
  assertEquals(faults(make, drop, rename), [false, false, false]);
  assertEquals(faults(make, drop), [true, true]);
  assertEquals(faults(drop, rename), [true, true]);
  assertEquals(faults(make, rename), [true, true]);
  assertEquals(faults(make, "drop index users_other", rename), [true, true, true]);
  assertEquals(faults(make.replace("unique ", ""), drop, rename), [false, true, true]);
});
