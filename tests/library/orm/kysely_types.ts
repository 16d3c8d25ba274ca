/** What must compile with Kysely on a session, and what must not. `deno check` reads it; nothing runs it. */
import { CamelCasePlugin, type Dialect, Kysely, type Transaction } from "kysely";
import type { Database, Session, TransactionRunner } from "../../../src/db/mod.ts";
import { DatabaseDialect, kyselyOn } from "../../../src/library/kysely/mod.ts";
import type { DB } from "./kysely_schema.ts";

/** Compiles only if both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;
function same<A, B>(_: Same<A, B>): void {}

export async function results(session: Session): Promise<void> {
  const db = kyselyOn<DB>(session, { plugins: [new CamelCasePlugin()], log: ["error"] });
  same<typeof db, Kysely<DB>>(true);

  const rows = await db.selectFrom("person").select(["id", "visits", "created_at as at"]).execute();
  same<typeof rows, { id: number; visits: bigint; at: Date }[]>(true);
  const joined = await db.selectFrom("person").leftJoin("pet", "pet.owner_id", "person.id")
    .select(["first_name", "pet.name"]).executeTakeFirst();
  same<typeof joined, { first_name: string; name: string | null } | undefined>(true);

  const inserted = await db.insertInto("pet").values({ owner_id: 1, name: "a", species: "cat" })
    .executeTakeFirst();
  same<typeof inserted.numInsertedOrUpdatedRows, bigint | undefined>(true);
  const updated = await db.updateTable("pet").set({ name: "b" }).executeTakeFirst();
  same<typeof updated.numUpdatedRows, bigint>(true);
  const deleted = await db.deleteFrom("pet").executeTakeFirst();
  same<typeof deleted.numDeletedRows, bigint>(true);

  for await (const row of db.selectFrom("pet").select("name").stream(10)) {
    same<typeof row, { name: string }>(true);
  }
  const value = await db.transaction().execute(async (trx) => {
    same<typeof trx, Transaction<DB>>(true);
    return await trx.selectFrom("pet").select("id").executeTakeFirstOrThrow();
  });
  same<typeof value, { id: number }>(true);
  const trx = await db.startTransaction().setIsolationLevel("read committed").execute();
  const point = await trx.savepoint("a").execute();
  await point.rollbackToSavepoint("a").execute();
}

export function dialects(db: Database, runner: TransactionRunner): Dialect {
  new Kysely<DB>({ dialect: new DatabaseDialect(db, { isolation: "serializable", attempts: 2 }) });
  return new DatabaseDialect(runner);
}

export async function mistakes(session: Session, database: Database): Promise<void> {
  const db = kyselyOn<DB>(session);
  // @ts-expect-error: there is no such table.
  db.selectFrom("nothing");
  // @ts-expect-error: the table has no such column.
  db.selectFrom("pet").select("color");
  // @ts-expect-error: a column that must be given is missing.
  db.insertInto("pet").values({ name: "a" });
  // @ts-expect-error: a generated column cannot be given.
  db.insertInto("person").values({ id: 1, first_name: "a", gender: "male" });
  // @ts-expect-error: the column has no such value.
  db.insertInto("pet").values({ owner_id: 1, name: "a", species: "bird" });
  // @ts-expect-error: the column cannot be set.
  db.updateTable("person").set({ created_at: new Date() });
  // @ts-expect-error: the column holds numbers.
  db.selectFrom("pet").selectAll().where("id", "=", "1");
  const trx = await db.startTransaction().execute();
  // @ts-expect-error: the savepoint was not made.
  trx.rollbackToSavepoint("b");
  await db.transaction().execute((trx) => {
    // @ts-expect-error: Kysely has no transaction in a transaction.
    return trx.transaction().execute(() => Promise.resolve());
  });
  // @ts-expect-error: the dialect is this layer's.
  kyselyOn<DB>(session, { dialect: new DatabaseDialect(database) });
  // @ts-expect-error: it takes a session, not a database.
  kyselyOn<DB>(database);
  // @ts-expect-error: a dialect takes a database, not a session.
  new DatabaseDialect(session);
  // @ts-expect-error: there is no such isolation level.
  new DatabaseDialect(database, { isolation: "snapshot" });
}
