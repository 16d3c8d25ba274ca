/** Databases for an app's own tests. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type Database, ServerError, sql } from "../../../src/db/mod.ts";
import { openDatabase } from "../../../src/library/deno/mod.ts";
import { branchDatabase, embeddedPostgres } from "../../../src/library/testing/mod.ts";

let migrations = 0;

async function migrate(db: Database): Promise<void> {
  migrations++;
  await db.transaction(async (session) => {
    await session.query(sql`create table orders (id int primary key)`);
    await session.commit([sql`insert into orders values (1)`]);
  });
}

Deno.test("branchDatabase() copies a template that is migrated once; copies do not see one another", async () => {
  await using one = await branchDatabase({ migrate });
  await using other = await branchDatabase({ migrate });
  assertEquals(migrations, 1);
  await using db = one.open({ pool: { size: 1 } });
  await using second = openDatabase(other.config);
  await db.run(sql`insert into orders values (2)`);
  assertEquals(await db.run(sql`select id from orders order by id`), [{ id: 1 }, { id: 2 }]);
  assertEquals(await second.run(sql`select id from orders`), [{ id: 1 }]);
  const [role] = await db.run(sql`select rolsuper from pg_roles where rolname = current_user`);
  assertEquals(role, { rolsuper: false });
});

Deno.test("branchDatabase() makes another template for another migrate, another name, and for none", async () => {
  const before = migrations;
  await using named = await branchDatabase({ migrate, template: "orders, once more" });
  assertEquals(migrations, before + 1);
  await using bare = await branchDatabase();
  await using extended = await branchDatabase({
    migrate: async (db, { url }) => {
      assertStringIncludes(url, "/template_");
      await db.run(sql`create table extended (id int)`);
    },
  });
  const tables = async (each: typeof named) => {
    await using db = each.open();
    return (await db.run(sql`select tablename as name from pg_tables where schemaname = 'public'`))
      .map(({ name }) => name);
  };
  assertEquals([await tables(named), await tables(bare), await tables(extended)], [
    ["orders"],
    [],
    ["extended"],
  ]);
});

Deno.test("a migrate that fails is the error, and does not leave half a template", async () => {
  let attempts = 0;
  const failing = async (db: Database) => {
    await db.run(sql`create table half (id int)`);
    if (++attempts === 1) await db.run(sql`selec`);
  };
  await assertRejects(() => branchDatabase({ migrate: failing }), ServerError, "syntax error");
  await using database = await branchDatabase({ migrate: failing });
  await using db = database.open();
  assertEquals(await db.run(sql`select * from half`), []);
});

Deno.test("embeddedPostgres() is a server of its own; branchDatabase({ adminUrl }) drops its database there", async () => {
  await using postgres = await embeddedPostgres();
  await using admin = openDatabase(postgres.adminConfig);
  const names = async () => (await admin.run(
    sql`select datname as name from pg_database where datname like 'branch_%'`,
  ));
  {
    await using owned = openDatabase(postgres.config);
    await owned.run(sql`create table mine (id int)`);
    await using database = await branchDatabase({ adminUrl: postgres.adminConfig.url, migrate });
    await using db = database.open();
    assertEquals(await db.run(sql`select id from orders`), [{ id: 1 }]);
    assertEquals((await names()).length, 1);
    await owned.close();
    const template = new URL(postgres.config.url).pathname.slice(1);
    await using copy = await branchDatabase({ adminUrl: postgres.adminConfig.url, template });
    await using copied = copy.open();
    assertEquals(await copied.run(sql`select * from mine`), []);
  }
  assertEquals(await names(), []);
  const adminUrl = postgres.adminConfig.url;
  const failing = (db: Database) => db.run(sql`selec`);
  await assertRejects(() => branchDatabase({ adminUrl, migrate: failing }), ServerError);
  await assertRejects(() => branchDatabase({ adminUrl, template: "missing" }), ServerError);
  assertEquals(await names(), []);
});

Deno.test("with Neon's key and project, it is a branch that is migrated, deleted, and expires", async () => {
  const seen: string[] = [];
  await using local = await branchDatabase();
  // Stands for Neon's API. The branch's URL leads to a server here.
  const neon = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const path = new URL(request.url).pathname;
    seen.push(`${request.method} ${path} ${request.headers.get("authorization")}`);
    if (request.method === "DELETE") return Response.json({});
    const { branch } = await request.json();
    assert(Date.parse(branch.expires_at) > Date.now());
    return Response.json({
      branch: { id: "br-1", name: branch.name },
      operations: [],
      connection_uris: [{ connection_uri: local.config.url }],
    }, { status: 201 });
  });
  const baseUrl = `http://127.0.0.1:${neon.addr.port}`;
  {
    await using database = await branchDatabase({
      neon: { apiKey: "key", projectId: "p-1", baseUrl },
      migrate,
    });
    await using db = database.open();
    assertEquals(await db.run(sql`select id from orders`), [{ id: 1 }]);
  }
  assertEquals(seen, [
    "POST /projects/p-1/branches Bearer key",
    "DELETE /projects/p-1/branches/br-1 Bearer key",
  ]);
  await neon.shutdown();
});
