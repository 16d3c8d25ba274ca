/** An app of a consumer, with Drizzle and Kysely. `package_test.ts` checks and runs it outside the repository. */
import { openDatabase } from "@user-service/db/deno";
import { drizzleOn } from "@user-service/db/drizzle";
import { DatabaseDialect, kyselyOn } from "@user-service/db/kysely";
import { sql as drizzleSql } from "drizzle-orm";
import { Kysely, sql } from "kysely";
import process from "node:process";

const { DATABASE_URL, RELAY } = process.env;
const db = openDatabase({ url: DATABASE_URL!, wsProxy: RELAY! });
const answers = await db.transaction(async (session) => {
  const { rows: drizzle } = await drizzleOn(session).execute<{ n: number }>(
    drizzleSql`select 1 as n`,
  );
  const { rows: kysely } = await sql<{ n: number }>`select 2 as n`.execute(kyselyOn(session));
  return { drizzle, kysely };
}, { readOnly: true });
const kysely = new Kysely<unknown>({ dialect: new DatabaseDialect(db) });
const { rows: dialect } = await sql<{ n: number }>`select 3 as n`.execute(kysely);
console.log(JSON.stringify({ ...answers, dialect }));
await db.close();
