/** Libraries from npm that take node-postgres's pool, on this layer's. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import PostgresAdapter from "@auth/pg-adapter";
import connectPgSimple from "connect-pg-simple";
import { eq, sql as drizzleSql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { pgTable, serial, text, timestamp } from "drizzle-orm/pg-core";
import session from "express-session";
import { type Generated, Kysely, PostgresDialect } from "kysely";
import { RateLimiterPostgres, type RateLimiterRes } from "rate-limiter-flexible";
import { type Pools, withPools } from "./pg_database.ts";

async function limiterOf({ pool }: Pools, points: number): Promise<RateLimiterPostgres> {
  return await new Promise((resolve, reject) => {
    const limiter: RateLimiterPostgres = new RateLimiterPostgres(
      {
        storeClient: pool,
        tableName: "limits",
        points,
        duration: 60,
        clearExpiredByTimeout: false,
      },
      (error?: Error) => error === undefined ? resolve(limiter) : reject(error),
    );
  });
}

Deno.test("rate-limiter-flexible: the points hold for concurrent callers, and are seen by another limiter", async () => {
  await withPools(async (pools) => {
    const limiter = await limiterOf(pools, 5);
    const settled = await Promise.allSettled(
      Array.from({ length: 20 }, () => limiter.consume("someone")),
    );
    assertEquals(settled.filter(({ status }) => status === "fulfilled").length, 5);
    const refused = settled.find((each) => each.status === "rejected")!.reason as RateLimiterRes;
    assert(refused.msBeforeNext > 0 && refused.msBeforeNext <= 60_000);
    const other = await limiterOf(pools, 5);
    assertEquals((await other.get("someone"))?.consumedPoints, 20);
    await other.block("someone", 10);
    await assertRejects(() => limiter.consume("someone") as Promise<never>).catch((res) => res);
    assertEquals(await other.delete("someone"), true);
    assertEquals((await limiter.consume("someone", 2)).remainingPoints, 3);
    assertEquals((await limiter.reward("someone")).consumedPoints, 1);
    assertEquals(pools.db.stats().leased, 0);
  });
});

const AUTH = `
create table verification_token (identifier text not null, expires timestamptz not null, token text not null, primary key (identifier, token));
create table accounts (id serial primary key, "userId" integer not null, type varchar(255) not null, provider varchar(255) not null, "providerAccountId" varchar(255) not null, refresh_token text, access_token text, expires_at bigint, id_token text, scope text, session_state text, token_type text);
create table sessions (id serial primary key, "userId" integer not null, expires timestamptz not null, "sessionToken" varchar(255) not null);
create table auth_users (id serial primary key, name varchar(255), email varchar(255), "emailVerified" timestamptz, image text);
alter table auth_users rename to users_of_auth;
`;

Deno.test("@auth/pg-adapter: users, accounts, sessions and tokens", async () => {
  await withPools(async ({ pool, ours }) => {
    await ours.query("drop table if exists users cascade");
    await ours.query(AUTH.replaceAll("users_of_auth", "users"));
    const adapter = PostgresAdapter(pool);
    const emailVerified = new Date("2024-05-06T07:08:09.123Z");
    const user = await adapter.createUser!({
      id: "",
      name: "Ada",
      email: "ada@example.org",
      emailVerified,
      image: "https://example.org/a.png",
    });
    assertEquals([user.name, user.emailVerified], ["Ada", emailVerified]);
    assertEquals(await adapter.getUserByEmail!("ada@example.org"), user);
    assertEquals(await adapter.getUser!("7777"), null);
    await adapter.linkAccount!({
      userId: user.id,
      provider: "github",
      type: "oauth",
      providerAccountId: "gh-1",
      expires_at: 4_000_000_000,
      access_token: "t",
    });
    assertEquals(
      await adapter.getUserByAccount!({ provider: "github", providerAccountId: "gh-1" }),
      user,
    );
    const expires = new Date("2030-01-02T03:04:05.678Z");
    await adapter.createSession!({ sessionToken: "s-1", userId: user.id, expires });
    const found = await adapter.getSessionAndUser!("s-1");
    assertEquals([found?.session.expires, found?.user], [expires, user]);
    const later = new Date("2031-01-01T00:00:00Z");
    // Returns nothing, with node-postgres too: its UPDATE has no RETURNING.
    await adapter.updateSession!({ sessionToken: "s-1", expires: later });
    assertEquals((await adapter.getSessionAndUser!("s-1"))?.session.expires, later);
    await adapter.createVerificationToken!({ identifier: "ada", expires, token: "v-1" });
    const token = await adapter.useVerificationToken!({ identifier: "ada", token: "v-1" });
    assertEquals(token?.expires, expires);
    assertEquals(await adapter.useVerificationToken!({ identifier: "ada", token: "v-1" }), null);
    assertEquals((await adapter.updateUser!({ id: user.id, name: "Countess" })).name, "Countess");
    await adapter.unlinkAccount!({ provider: "github", providerAccountId: "gh-1" });
    await adapter.deleteSession!("s-1");
    await adapter.deleteUser!(user.id);
    assertEquals(await adapter.getUser!(user.id), null);
  });
});

Deno.test("connect-pg-simple: makes its table by several statements in one text, and keeps sessions", async () => {
  await withPools(async ({ pool, ours }) => {
    const Store = connectPgSimple(session);
    const store = new Store({ pool, createTableIfMissing: true, pruneSessionInterval: false });
    const call = <T>(run: (done: (error: unknown, value?: T) => void) => void): Promise<T> =>
      new Promise((resolve, reject) =>
        run((error, value) => error ? reject(error) : resolve(value as T))
      );
    const cookie = { originalMaxAge: 60_000, expires: new Date(Date.now() + 60_000) };
    const data = { cookie, user: { id: 7, tags: ["a", "ü"] } };
    await call((done) => store.set("sid-1", data as never, done));
    await call((done) => store.set("sid-1", { ...data, visits: 2 } as never, done));
    const found = await call<Record<string, unknown>>((done) => store.get("sid-1", done as never));
    assertEquals([found["user"], found["visits"]], [data.user, 2]);
    await call((done) => store.touch("sid-1", data as never, () => done(null)));
    assertEquals(await call((done) => store.get("other", done as never)), undefined);
    await ours.query(`update session set expire = now() - interval '1 minute'`);
    await call((done) => store.pruneSessions(done as never));
    assertEquals((await ours.query("select * from session")).rowCount, 0);
    await call((done) => store.destroy("sid-1", done));
    await store.close();
  });
});

const notes = pgTable("notes", {
  id: serial("id").primaryKey(),
  body: text("body").notNull().unique(),
  at: timestamp("at", { withTimezone: true }).defaultNow().notNull(),
});

Deno.test("drizzle-orm/node-postgres: queries and transactions", async () => {
  await withPools(async ({ pool, ours, db }) => {
    await ours.query(
      "create table notes (id serial primary key, body text not null unique, at timestamptz not null default now())",
    );
    const orm = drizzle(pool, { schema: { notes } });
    const [one] = await orm.insert(notes).values({ body: "one" }).returning();
    assert(one!.at instanceof Date);
    await orm.transaction(async (tx) => {
      await tx.insert(notes).values({ body: "two" });
      await assertRejects(() =>
        tx.transaction(async (inner) => {
          await inner.insert(notes).values({ body: "three" });
          inner.rollback();
        })
      );
    }, { isolationLevel: "serializable" });
    const error = await assertRejects(() =>
      orm.transaction(async (tx) => {
        await tx.insert(notes).values({ body: "four" });
        await tx.insert(notes).values({ body: "one" });
      })
    ) as Error;
    assertEquals((error.cause as { code?: string }).code, "23505");
    assertEquals((await orm.query.notes.findMany()).map(({ body }) => body), ["one", "two"]);
    assertEquals((await orm.delete(notes).where(eq(notes.body, "two"))).rowCount, 1);
    assertEquals((await orm.execute(drizzleSql`select 1::int8 as n`)).rows, [{ n: "1" }]);
    assertEquals(db.stats().leased, 0);
  });
});

interface Schema {
  notes: { id: Generated<number>; body: string };
}

Deno.test("Kysely's PostgresDialect: queries, transactions, savepoints, an aborted commit", async () => {
  await withPools(async ({ pool, ours, db }) => {
    await ours.query("create table notes (id serial primary key, body text not null unique)");
    const kysely = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
    const inserted = await kysely.insertInto("notes").values([{ body: "one" }, { body: "two" }])
      .executeTakeFirst();
    assertEquals(inserted.numInsertedOrUpdatedRows, 2n);
    await kysely.transaction().setIsolationLevel("repeatable read").execute(async (trx) => {
      await trx.updateTable("notes").set({ body: "three" }).where("body", "=", "two").execute();
    });
    await assertRejects(
      () =>
        kysely.transaction().execute(async (trx) => {
          await trx.deleteFrom("notes").execute();
          throw new Error("mine");
        }),
      Error,
      "mine",
    );
    const trx = await kysely.startTransaction().execute();
    await trx.insertInto("notes").values({ body: "four" }).execute();
    const point = await trx.savepoint("one").execute();
    await assertRejects(() => point.insertInto("notes").values({ body: "one" }).execute());
    const back = await point.rollbackToSavepoint("one").execute();
    await back.commit().execute();
    const bodies = await kysely.selectFrom("notes").select("body").orderBy("body").execute();
    assertEquals(bodies.map(({ body }) => body), ["four", "one", "three"]);
    const tables = await kysely.introspection.getTables();
    assert(tables.some(({ name }) => name === "notes"));
    await kysely.destroy();
    assertEquals([pool.ended, db.stats().leased], [true, 0]);
  });
});
