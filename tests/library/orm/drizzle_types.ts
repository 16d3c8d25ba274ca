/** What must compile with Drizzle on a session, and what must not. `deno check` reads it; nothing runs it. */
import { eq, sql } from "drizzle-orm";
import type { PgDatabase } from "drizzle-orm/pg-core";
import type { QueryResult, Session } from "../../../src/db/mod.ts";
import {
  type DrizzleDatabase,
  drizzleOn,
  type DrizzleQueryResult,
} from "../../../src/library/drizzle/mod.ts";
import * as schema from "./drizzle_schema.ts";

const { users, posts } = schema;

/** Compiles only if both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;
function same<A, B>(_: Same<A, B>): void {}

interface User {
  id: number;
  name: string;
  email: string;
  role: "member" | "admin";
  inviterId: number | null;
  visits: bigint;
  profile: { city: string; tags?: string[] } | null;
  createdAt: Date;
  slug: string | null;
}

export async function results(session: Session): Promise<void> {
  const db = drizzleOn(session, { schema });
  same<typeof db, DrizzleDatabase<typeof schema>>(true);
  const asDrizzles: PgDatabase<DrizzleQueryResult, typeof schema> = db;
  void asDrizzles;

  const selected = await db.select().from(users);
  same<typeof selected, User[]>(true);
  const some = await db.select({ id: users.id, n: sql<string>`1` }).from(users);
  same<typeof some, { id: number; n: string }[]>(true);
  const joined = await db.select({ title: posts.title, name: users.name }).from(posts)
    .leftJoin(users, eq(users.id, posts.authorId));
  same<typeof joined, { title: string; name: string | null }[]>(true);

  const inserted = await db.insert(users).values({ name: "a", email: "b" });
  same<typeof inserted, QueryResult<never>>(true);
  same<typeof inserted.rowCount, number>(true);
  same<typeof inserted.command, string>(true);
  const returned = await db.insert(users).values({ name: "a", email: "b" }).returning();
  same<typeof returned, User[]>(true);
  const updated = await db.update(users).set({ name: "c" }).returning({ id: users.id });
  same<typeof updated, { id: number }[]>(true);
  const deleted = await db.delete(users);
  same<typeof deleted, QueryResult<never>>(true);

  const executed = await db.execute<{ n: number }>(sql`select 1 as n`);
  same<typeof executed, QueryResult<{ n: number }>>(true);
  const counted = await db.$count(users);
  same<typeof counted, number>(true);

  const found = await db.query.users.findFirst({ with: { posts: { columns: { title: true } } } });
  same<typeof found, (User & { posts: { title: string }[] }) | undefined>(false);
  const title: string | undefined = found?.posts[0]?.title;
  void title;

  const prepared = db.select({ id: users.id }).from(users).where(
    eq(users.id, sql.placeholder("id")),
  )
    .prepare("p");
  const rows = await prepared.execute({ id: 1 });
  same<typeof rows, { id: number }[]>(true);

  const value = await db.transaction(async (tx) => {
    await tx.transaction((inner) => inner.query.users.findMany());
    return await tx.select({ id: users.id }).from(users);
  });
  same<typeof value, { id: number }[]>(true);
  await db.transaction((tx) => tx.select().from(users), { isolationLevel: "serializable" });
}

export function withoutSchema(session: Session): void {
  const db = drizzleOn(session);
  same<typeof db, DrizzleDatabase>(true);
  drizzleOn(session, { schema, casing: "snake_case", logger: true });
  // @ts-expect-error: without a schema there are no relational queries.
  void db.query.users;
}

export async function mistakes(session: Session): Promise<void> {
  const db = drizzleOn(session, { schema });
  // @ts-expect-error: a column that must be given is missing.
  await db.insert(users).values({ name: "a" });
  // @ts-expect-error: a generated column cannot be given.
  await db.insert(users).values({ name: "a", email: "b", slug: "c" });
  // @ts-expect-error: the enum has no such value.
  await db.insert(users).values({ name: "a", email: "b", role: "owner" });
  // @ts-expect-error: the column holds bigints.
  await db.update(users).set({ visits: 1 });
  // @ts-expect-error: the column holds numbers.
  await db.select().from(users).where(eq(users.id, "1"));
  // @ts-expect-error: the schema has no such table.
  await db.query.nothing.findMany();
  // @ts-expect-error: the table has no such relation.
  await db.query.posts.findMany({ with: { groups: true } });
  // @ts-expect-error: a write without `returning` gives no rows of a type.
  (await db.delete(users)).rows[0].id;
  // @ts-expect-error: rows come from `rows`, as for the other drivers.
  (await db.execute(sql`select 1`))[0];
  // @ts-expect-error: there is no such level.
  await db.transaction((tx) => tx.select().from(users), { isolationLevel: "snapshot" });
  // @ts-expect-error: a cache would keep what is not committed.
  drizzleOn(session, { schema, cache: undefined });
  // @ts-expect-error: there is no such casing.
  drizzleOn(session, { casing: "kebab-case" });
  // @ts-expect-error: it takes a session, not a client or a pool.
  drizzleOn({ query: () => Promise.resolve([]) });
  // @ts-expect-error: it takes no schema in place of the options.
  drizzleOn(session, schema);
}
