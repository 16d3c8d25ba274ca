/** Drizzle over Neon's Pool, as Drizzle's documentation on Neon shows it. */
import { newUser, type Place, type SessionContender } from "../session_contender.ts";
import { neonPool } from "./session_neon.ts";

// Not imports that Deno can see before it runs: `main.ts` says why.
const DRIZZLE = "npm:drizzle-orm@0.45.4";
const NEON_SERVERLESS = `${DRIZZLE}/neon-serverless`;
const PG_CORE = `${DRIZZLE}/pg-core`;

interface Row {
  readonly id: string;
  readonly version: number;
}

interface Rows extends Promise<Row[]> {
  where(condition: unknown): Rows;
  returning(columns: Readonly<Record<string, unknown>>): Rows;
}

interface Drizzle {
  select(columns: Readonly<Record<string, unknown>>): { from(table: unknown): Rows };
  insert(table: unknown): { values(row: unknown): Rows };
  update(table: unknown): { set(values: unknown): Rows };
  transaction<T>(work: (tx: Drizzle) => Promise<T>): Promise<T>;
}

const { drizzle }: { drizzle(options: { client: unknown }): Drizzle } = await import(
  NEON_SERVERLESS
);
const { and, eq }: {
  and(...conditions: unknown[]): unknown;
  eq(column: unknown, value: unknown): unknown;
} = await import(DRIZZLE);
const { integer, pgTable, text, uuid }: {
  pgTable<Name extends string>(
    name: string,
    columns: Record<Name, unknown>,
  ): Record<Name, unknown>;
  integer(): unknown;
  text(): unknown;
  uuid(): unknown;
} = await import(PG_CORE);

const users = pgTable("users", { id: uuid(), email: text(), name: text(), version: integer() });
const { id, email, name, version } = users;

export function sessionDrizzle(place: Place): SessionContender {
  const pool = neonPool(place);
  const db = drizzle({ client: pool });
  const read = (on: Drizzle) =>
    on.select({ id, email, name }).from(users).where(eq(id, place.knownId));
  const write = (on: Drizzle) => on.insert(users).values(newUser()).returning({ id, version });
  return {
    ways: [
      { name: "Drizzle: select, no transaction", unit: "read", run: () => read(db) },
      { name: "Drizzle: transaction(select)", unit: "read", run: () => db.transaction(read) },
      { name: "Drizzle: transaction(insert)", unit: "write", run: () => db.transaction(write) },
      {
        name: "Drizzle: transaction(three)",
        unit: "three dependent statements",
        run: () =>
          db.transaction(async (tx) => {
            const [made] = await write(tx);
            const [found] = await tx.select({ id, version }).from(users).where(eq(id, made!.id));
            await tx.update(users).set({ name: "Bob" })
              .where(and(eq(id, found!.id), eq(version, found!.version)));
          }),
      },
    ],
    close: () => pool.end(),
  };
}
