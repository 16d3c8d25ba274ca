/** Drizzle's queries on a session: what Drizzle's documentation shows, on a real server. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  aliasedTable,
  and,
  arrayContains,
  asc,
  avg,
  between,
  count,
  countDistinct,
  desc,
  DrizzleQueryError,
  eq,
  exists,
  getTableColumns,
  gt,
  ilike,
  inArray,
  isNotNull,
  isNull,
  like,
  max,
  ne,
  not,
  notExists,
  notInArray,
  or,
  type SQL,
  sql,
  sum,
} from "drizzle-orm";
import {
  alias,
  except,
  intersect,
  pgMaterializedView,
  pgTable,
  text,
  union,
  unionAll,
} from "drizzle-orm/pg-core";
import { ServerError, type Session } from "../../../src/db/mod.ts";
import { type DrizzleDatabase, drizzleOn } from "../../../src/library/drizzle/mod.ts";
import * as schema from "./drizzle_schema.ts";
import { ormDatabase } from "./orm_database.ts";

const { users, posts, groups, members, oldPosts, topPosts } = schema;
const database = await ormDatabase(schema.SETUP);

type Db = DrizzleDatabase<typeof schema>;
type Case = (db: Db, session: Session) => Promise<void>;

const names = (rows: readonly { name: string }[]) => rows.map(({ name }) => name);
const titles = (rows: readonly { title: string | null }[]) => rows.map(({ title }) => title);
const newUser = (name: string) => ({ name, email: `${name.toLowerCase()}@example.org` });

const SELECTS: Record<string, Case> = {
  "all columns of a table": async (db) => {
    const [ann] = await db.select().from(users).where(eq(users.id, 1));
    assertEquals(ann, {
      id: 1,
      name: "Ann",
      email: "ann@example.org",
      role: "admin",
      inviterId: null,
      visits: 9007199254740993n,
      profile: { city: "Oslo", tags: ["a", "b"] },
      createdAt: new Date("2024-01-01T00:00:00.123Z"),
      slug: "ann",
    });
  },
  "chosen columns and expressions": async (db) => {
    const rows = await db.select({ id: users.id, upper: sql<string>`upper(${users.name})` })
      .from(users).orderBy(users.id).limit(2);
    assertEquals(rows, [{ id: 1, upper: "ANN" }, { id: 2, upper: "BOB" }]);
  },
  "nested objects of columns": async (db) => {
    const rows = await db.select({ who: { id: users.id, email: users.email }, of: sql<number>`1` })
      .from(users)
      .where(eq(users.id, 2));
    assertEquals(rows, [{ who: { id: 2, email: "bob@example.org" }, of: 1 }]);
  },
  "no row": async (db) => {
    assertEquals(await db.select().from(users).where(eq(users.id, 99)), []);
  },
  "getTableColumns without one of them": async (db) => {
    const { createdAt: _, profile: __, visits: ___, slug: ____, ...rest } = getTableColumns(users);
    const [bob] = await db.select(rest).from(users).where(eq(users.name, "Bob"));
    assertEquals(bob, {
      id: 2,
      name: "Bob",
      email: "bob@example.org",
      role: "member",
      inviterId: 1,
    });
  },
  "inner join, with columns of equal names": async (db) => {
    const rows = await db.select().from(posts).innerJoin(users, eq(posts.authorId, users.id))
      .where(eq(posts.title, "Third"));
    assertEquals(rows.length, 1);
    assertEquals([rows[0]!.posts.id, rows[0]!.users_of_orm.id], [3, 2]);
    assertEquals(rows[0]!.users_of_orm.name, "Bob");
  },
  "join of chosen columns with equal names": async (db) => {
    const rows = await db.select({ post: posts.id, user: users.id }).from(posts)
      .innerJoin(users, eq(posts.authorId, users.id)).orderBy(desc(posts.id));
    assertEquals(rows[0], { post: 3, user: 2 });
  },
  "left join, null where there is no row": async (db) => {
    const rows = await db.select({ name: users.name, post: posts }).from(users)
      .leftJoin(posts, eq(posts.authorId, users.id)).where(eq(users.name, "Cleo"));
    assertEquals(rows, [{ name: "Cleo", post: null }]);
  },
  "right join": async (db) => {
    const rows = await db.select({ title: posts.title, name: users.name }).from(posts)
      .rightJoin(users, eq(posts.authorId, users.id)).where(isNull(posts.id));
    assertEquals(rows, [{ title: null, name: "Cleo" }]);
  },
  "full join": async (db) => {
    const rows = await db.select().from(posts).fullJoin(users, eq(posts.authorId, users.id));
    assertEquals(rows.length, 4);
    assertEquals(rows.filter(({ posts }) => posts === null).length, 1);
  },
  "cross join": async (db) => {
    assertEquals((await db.select().from(users).crossJoin(groups)).length, 6);
  },
  "self join by alias": async (db) => {
    const inviter = alias(users, "inviter");
    const rows = await db.select({ name: users.name, by: inviter.name }).from(users)
      .innerJoin(inviter, eq(users.inviterId, inviter.id)).orderBy(users.name);
    assertEquals(rows, [{ name: "Bob", by: "Ann" }, { name: "Cleo", by: "Ann" }]);
  },
  "self join by aliasedTable": async (db) => {
    const inviter = aliasedTable(users, "inviter");
    const rows = await db.select().from(users).leftJoin(inviter, eq(users.inviterId, inviter.id))
      .where(eq(users.id, 1));
    // Drizzle gives the row the type `never`.
    const [row] = rows as unknown as { users_of_orm: { name: string }; inviter: unknown }[];
    assertEquals([row!.users_of_orm.name, row!.inviter], ["Ann", null]);
  },
  "lateral join": async (db) => {
    const best = db.select({ title: posts.title }).from(posts).where(eq(posts.authorId, users.id))
      .orderBy(desc(posts.score)).limit(1).as("best");
    const rows = await db.select({ name: users.name, title: best.title }).from(users)
      .leftJoinLateral(best, sql`true`).orderBy(users.id);
    assertEquals(rows.map(({ title }) => title), ["First", "Third", null]);
  },
  "and, or, not, ne": async (db) => {
    const rows = await db.select().from(users)
      .where(and(ne(users.name, "Ann"), or(eq(users.id, 2), not(eq(users.id, 3)))));
    assertEquals(names(rows), ["Bob"]);
  },
  "like and ilike": async (db) => {
    assertEquals(names(await db.select().from(users).where(like(users.name, "%o%"))), [
      "Bob",
      "Cleo",
    ]);
    assertEquals(names(await db.select().from(users).where(ilike(users.name, "a%"))), ["Ann"]);
  },
  "inArray and notInArray": async (db) => {
    assertEquals(names(await db.select().from(users).where(inArray(users.id, [1, 3]))), [
      "Ann",
      "Cleo",
    ]);
    assertEquals(names(await db.select().from(users).where(notInArray(users.id, [1, 3]))), ["Bob"]);
  },
  "inArray of none": async (db) => {
    assertEquals(await db.select().from(users).where(inArray(users.id, [])), []);
  },
  "inArray of an enum and of bigints": async (db) => {
    const rows = await db.select().from(users)
      .where(and(inArray(users.role, ["admin"]), inArray(users.visits, [9007199254740993n])));
    assertEquals(names(rows), ["Ann"]);
  },
  "inArray of a subquery": async (db) => {
    const authors = db.select({ id: posts.authorId }).from(posts);
    assertEquals(names(await db.select().from(users).where(inArray(users.id, authors))), [
      "Ann",
      "Bob",
    ]);
  },
  "between": async (db) => {
    const rows = await db.select().from(users).where(
      between(users.createdAt, new Date("2024-01-15Z"), new Date("2024-02-15Z")),
    );
    assertEquals(names(rows), ["Bob"]);
  },
  "isNull and isNotNull": async (db) => {
    assertEquals(names(await db.select().from(users).where(isNull(users.inviterId))), ["Ann"]);
    assertEquals((await db.select().from(users).where(isNotNull(users.inviterId))).length, 2);
  },
  "exists and notExists": async (db) => {
    const own = db.select().from(posts).where(eq(posts.authorId, users.id));
    assertEquals(names(await db.select().from(users).where(exists(own))), ["Ann", "Bob"]);
    assertEquals(names(await db.select().from(users).where(notExists(own))), ["Cleo"]);
  },
  "comparison with a timestamp to the millisecond": async (db) => {
    const at = new Date("2024-01-01T00:00:00.123Z");
    assertEquals(names(await db.select().from(users).where(eq(users.createdAt, at))), ["Ann"]);
    assertEquals((await db.select().from(users).where(gt(users.createdAt, at))).length, 2);
  },
  "a json path in sql": async (db) => {
    const rows = await db.select({ city: sql<string>`${users.profile}->>'city'` }).from(users)
      .where(sql`${users.profile} @> ${JSON.stringify({ city: "Rome" })}`);
    assertEquals(rows, [{ city: "Rome" }]);
  },
  "a json value in sql": async (db) => {
    const rows = await db.select({
      tags: sql<string[]>`${users.profile}->'tags'`,
      city: sql<string>`${users.profile}->'city'`,
    }).from(users).where(eq(users.id, 1));
    assertEquals(rows, [{ tags: ["a", "b"], city: "Oslo" }]);
  },
  "a json text in sql that is JSON again, and the same by a json column": async (db) => {
    const rows = await db.select({
      plain: sql<string>`'"12345"'::jsonb`,
      aliased: sql<string>`'"12345"'::jsonb`.as("aliased"),
      list: sql<string[]>`array['"1"'::jsonb]`,
    }).from(users).limit(1);
    assertEquals(rows, [{ plain: "12345", aliased: "12345", list: ["1"] }]);
    const mapped = sql`'"12345"'::jsonb`.mapWith(users.profile) as SQL<unknown>;
    const inner = db.select({ j: sql`'"7"'::jsonb`.as("j") }).from(groups).limit(1).as("inner");
    assertEquals(await db.select({ inner }).from(users).limit(1), [{ inner: "7" }] as never);
    assertEquals(await db.select({ mapped }).from(users).limit(1), [{ mapped: "12345" }]);
    assertEquals(await db.select({ mapped: mapped.as("m") }).from(users).limit(1), [
      { mapped: "12345" },
    ]);
  },
  "json_agg and array_agg in sql": async (db) => {
    const rows = await db.select({
      all: sql<{ title: string }[]>`json_agg(json_build_object('title', ${posts.title}))`,
      ids: sql<number[]>`array_agg(${posts.id} order by ${posts.id})`,
    }).from(posts).where(eq(posts.authorId, 1));
    assertEquals(rows, [{ all: [{ title: "First" }, { title: "Second" }], ids: [1, 2] }]);
  },
  "arrayContains on an expression": async (db) => {
    const rows = await db.select({ id: users.id }).from(users).where(
      arrayContains(sql`array[${users.id}]`, sql`array[2]`),
    );
    assertEquals(rows, [{ id: 2 }]);
  },
  "mapWith": async (db) => {
    const rows = await db.select({
      n: sql`count(*)`.mapWith(Number),
      at: sql`max(${users.createdAt})`.mapWith(users.createdAt),
    }).from(users);
    assertEquals(rows, [{ n: 3, at: new Date("2024-03-01T00:00:00Z") }]);
  },
  "aggregates": async (db) => {
    const [row] = await db.select({
      n: count(),
      authors: countDistinct(posts.authorId),
      sum: sum(posts.score),
      avg: avg(posts.score),
      max: max(posts.score),
      last: max(users.createdAt),
    }).from(posts).innerJoin(users, eq(users.id, posts.authorId));
    assertEquals(row, {
      n: 3,
      authors: 2,
      sum: "35",
      avg: "11.6666666666666667",
      max: 20,
      last: new Date("2024-02-01T00:00:00Z"),
    });
  },
  "group by and having": async (db) => {
    const rows = await db.select({ author: posts.authorId, n: count() }).from(posts)
      .groupBy(posts.authorId).having(({ n }) => gt(n, 1));
    assertEquals(rows, [{ author: 1, n: 2 }]);
  },
  "$count of a table, with a filter, and in a select": async (db) => {
    assertEquals(await db.$count(users), 3);
    assertEquals(await db.$count(posts, eq(posts.authorId, 1)), 2);
    const rows = await db.select({
      name: users.name,
      n: db.$count(posts, eq(posts.authorId, users.id)),
    }).from(users).orderBy(users.id);
    assertEquals(rows.map(({ n }) => n), [2, 1, 0]);
  },
  "distinct and distinct on": async (db) => {
    assertEquals((await db.selectDistinct({ a: posts.authorId }).from(posts)).length, 2);
    const rows = await db.selectDistinctOn([posts.authorId], { title: posts.title }).from(posts)
      .orderBy(posts.authorId, desc(posts.score));
    assertEquals(titles(rows), ["First", "Third"]);
  },
  "order, limit and offset": async (db) => {
    const rows = await db.select().from(users).orderBy(asc(users.name)).limit(1).offset(1);
    assertEquals(names(rows), ["Bob"]);
  },
  "a subquery": async (db) => {
    const sub = db.select({ id: users.id, n: users.name }).from(users).where(gt(users.id, 1))
      .as("sub");
    assertEquals(await db.select({ n: sub.n }).from(sub).orderBy(sub.id), [
      { n: "Bob" },
      { n: "Cleo" },
    ]);
  },
  "with": async (db) => {
    const best = db.$with("best").as(
      db.select({ id: posts.id, title: posts.title }).from(posts).where(gt(posts.score, 9)),
    );
    assertEquals(titles(await db.with(best).select().from(best).orderBy(best.id)), [
      "First",
      "Third",
    ]);
  },
  "union and unionAll": async (db) => {
    const ids = () => db.select({ id: users.id }).from(users);
    assertEquals((await union(ids(), ids())).length, 3);
    assertEquals((await unionAll(ids(), ids())).length, 6);
    assertEquals((await ids().union(ids()).limit(2)).length, 2);
  },
  "intersect and except": async (db) => {
    const all = () => db.select({ id: users.id }).from(users);
    const authors = () => db.select({ id: posts.authorId }).from(posts);
    assertEquals((await intersect(all(), authors())).length, 2);
    assertEquals(await except(all(), authors()), [{ id: 3 }]);
  },
  "for update, skip locked": async (db) => {
    const rows = await db.select().from(users).where(eq(users.id, 1))
      .for("update", { skipLocked: true });
    assertEquals(names(rows), ["Ann"]);
  },
  "$dynamic": async (db) => {
    const query = db.select().from(users).$dynamic();
    query.where(eq(users.id, 3));
    assertEquals(names(await query.limit(5)), ["Cleo"]);
  },
  "a view": async (db) => {
    assertEquals(titles(await db.select().from(topPosts)).sort(), ["First", "Third"]);
  },
  "a table of another schema": async (db) => {
    await db.insert(oldPosts).values({ id: 1, title: "Old" });
    assertEquals(await db.select().from(oldPosts), [{ id: 1, title: "Old" }]);
  },
  "a materialized view, refreshed": async (db) => {
    const counts = pgMaterializedView("post_counts", {}).existing();
    await db.insert(posts).values({ authorId: 3, title: "Fourth" });
    const { command } = await db.refreshMaterializedView(counts);
    assertEquals(command, "REFRESH");
    const { rows } = await db.execute(sql`select * from post_counts where author_id = 3`);
    assertEquals(rows, [{ author_id: 3, n: "1" }]);
  },
};

const WRITES: Record<string, Case> = {
  "insert without returning gives the row count": async (db) => {
    const result = await db.insert(groups).values([{ id: 3, name: "x" }, { id: 4, name: "y" }]);
    assertEquals(result, { rows: [], rowCount: 2, command: "INSERT", columns: [] });
  },
  "insert returning, with defaults, identity and generated columns": async (db) => {
    const [row] = await db.insert(users).values(newUser("Dan")).returning();
    assertEquals([row!.role, row!.visits, row!.slug, row!.profile], ["member", 0n, "dan", null]);
    assert(row!.id > 3);
    assert(row!.createdAt instanceof Date);
  },
  "insert returning chosen columns": async (db) => {
    const rows = await db.insert(groups).values({ id: 5, name: "z" }).returning({
      id: groups.id,
      loud: sql<string>`upper(${groups.name})`,
    });
    assertEquals(rows, [{ id: 5, loud: "Z" }]);
  },
  "$defaultFn and $onUpdate": async (db) => {
    const [made] = await db.insert(posts).values({ authorId: 3, title: "New" }).returning();
    assertEquals([made!.key, made!.updatedBy], ["a default", "an update"]);
    const [set] = await db.update(posts).set({ score: 1 }).where(eq(posts.id, made!.id))
      .returning();
    assertEquals([set!.score, set!.updatedBy], [1, "an update"]);
  },
  "insert of an explicit undefined and of sql": async (db) => {
    const [row] = await db.insert(posts).values({
      authorId: 3,
      title: sql`upper('sql')`,
      publishedAt: undefined,
      score: sql`1 + 1`,
    }).returning();
    assertEquals([row!.title, row!.score, row!.publishedAt], ["SQL", 2, null]);
  },
  "insert of 500 rows is one statement": async (db) => {
    const rows = Array.from({ length: 500 }, (_, n) => ({ id: 100 + n, name: `group ${n}` }));
    assertEquals((await db.insert(groups).values(rows)).rowCount, 500);
    assertEquals(await db.$count(groups), 502);
  },
  "insert from a select": async (db) => {
    await db.insert(groups).select(
      db.select({ id: sql<number>`${users.id} + 100`.as("id"), name: users.name }).from(users),
    );
    assertEquals((await db.select().from(groups).where(gt(groups.id, 100))).length, 3);
  },
  "insert on conflict do nothing": async (db) => {
    const result = await db.insert(groups).values([{ id: 1, name: "again" }, { id: 9, name: "9" }])
      .onConflictDoNothing();
    assertEquals(result.rowCount, 1);
  },
  "insert on conflict do nothing, returning": async (db) => {
    const rows = await db.insert(groups).values({ id: 1, name: "again" }).onConflictDoNothing()
      .returning();
    assertEquals(rows, []);
  },
  "insert on conflict do update": async (db) => {
    const rows = await db.insert(users).values({ ...newUser("Annie"), email: "ann@example.org" })
      .onConflictDoUpdate({ target: users.email, set: { name: sql`excluded.user_name` } })
      .returning({ id: users.id, name: users.name });
    assertEquals(rows, [{ id: 1, name: "Annie" }]);
  },
  "insert on conflict do update of several columns, with a condition": async (db) => {
    const result = await db.insert(posts).values({ authorId: 1, title: "First", score: 1 })
      .onConflictDoUpdate({
        target: [posts.authorId, posts.title],
        set: { score: 1 },
        setWhere: gt(sql`excluded.score`, posts.score),
      });
    assertEquals(result.rowCount, 0);
  },
  "insert overriding the system's value": async (db) => {
    const [row] = await db.insert(users).overridingSystemValue()
      .values({ id: 77, ...newUser("Eve") }).returning({ id: users.id });
    assertEquals(row, { id: 77 });
  },
  "update gives the row count": async (db) => {
    const { rowCount, command } = await db.update(users).set({ role: "admin" }).where(
      gt(users.id, 1),
    );
    assertEquals([rowCount, command], [2, "UPDATE"]);
    assertEquals(
      (await db.update(users).set({ role: "admin" }).where(eq(users.id, 99))).rowCount,
      0,
    );
  },
  "update returning": async (db) => {
    const rows = await db.update(users).set({ visits: sql`${users.visits} + 1`, inviterId: null })
      .where(eq(users.id, 1)).returning({ visits: users.visits });
    assertEquals(rows, [{ visits: 9007199254740994n }]);
  },
  "update from another table": async (db) => {
    const rows = await db.update(posts).set({ score: 0 }).from(users)
      .where(and(eq(posts.authorId, users.id), eq(users.name, "Bob")))
      .returning({ title: posts.title, by: users.name });
    assertEquals(rows, [{ title: "Third", by: "Bob" }]);
  },
  "update to null, json and a date": async (db) => {
    const at = new Date("2025-05-05T05:05:05.005Z");
    const [row] = await db.update(users).set({
      profile: { city: 'Pa"ris\\' },
      inviterId: null,
      createdAt: at,
    }).where(eq(users.id, 2)).returning();
    assertEquals([row!.profile, row!.inviterId, row!.createdAt], [{ city: 'Pa"ris\\' }, null, at]);
  },
  "delete gives the row count": async (db) => {
    const { rowCount, command } = await db.delete(members).where(eq(members.userId, 1));
    assertEquals([rowCount, command], [2, "DELETE"]);
  },
  "delete returning, with a cascade": async (db) => {
    await db.delete(members);
    const rows = await db.delete(users).where(eq(users.id, 2)).returning({ name: users.name });
    assertEquals(rows, [{ name: "Bob" }]);
    assertEquals(await db.$count(posts, eq(posts.authorId, 2)), 0);
  },
  "with delete, and select from it": async (db) => {
    const gone = db.$with("gone").as(
      db.delete(posts).where(eq(posts.authorId, 1)).returning({ title: posts.title }),
    );
    const rows = await db.with(gone).select().from(gone);
    assertEquals(titles(rows).sort(), ["First", "Second"]);
  },
  "with insert, and update from it": async (db) => {
    const made = db.$with("made").as(
      db.insert(groups).values({ id: 50, name: "fifty" }).returning({ id: groups.id }),
    );
    const rows = await db.with(made).update(posts).set({ score: sql`(select id from ${made})` })
      .where(eq(posts.id, 1)).returning({ score: posts.score });
    assertEquals(rows, [{ score: 50 }]);
  },
};

const RELATIONS: Record<string, Case> = {
  "findMany": async (db) => {
    assertEquals(names(await db.query.users.findMany({ orderBy: users.id })), [
      "Ann",
      "Bob",
      "Cleo",
    ]);
  },
  "findFirst, found and not found": async (db) => {
    const ann = await db.query.users.findFirst({ where: eq(users.name, "Ann") });
    assertEquals([ann?.visits, ann?.createdAt], [
      9007199254740993n,
      new Date("2024-01-01T00:00:00.123Z"),
    ]);
    assertEquals(await db.query.users.findFirst({ where: eq(users.id, 99) }), undefined);
  },
  "columns, included and excluded": async (db) => {
    const only = await db.query.users.findFirst({ columns: { name: true } });
    assertEquals(only, { name: "Ann" });
    const group = await db.query.groups.findFirst({ columns: { id: false } });
    assertEquals(group, { name: "red" });
  },
  "many": async (db) => {
    const rows = await db.query.users.findMany({
      columns: { name: true },
      with: { posts: { columns: { title: true }, orderBy: posts.id } },
      orderBy: users.id,
    });
    assertEquals(rows, [
      { name: "Ann", posts: [{ title: "First" }, { title: "Second" }] },
      { name: "Bob", posts: [{ title: "Third" }] },
      { name: "Cleo", posts: [] },
    ]);
  },
  "one, and one that is null": async (db) => {
    const post = await db.query.posts.findFirst({ with: { author: true } });
    assertEquals([post?.author.name, post?.author.createdAt], [
      "Ann",
      new Date("2024-01-01T00:00:00.123Z"),
    ]);
    const ann = await db.query.users.findFirst({ with: { inviter: true } });
    assertEquals(ann?.inviter, null);
  },
  "a relation to the same table, both ways": async (db) => {
    const ann = await db.query.users.findFirst({ with: { invited: { orderBy: users.id } } });
    assertEquals(names(ann!.invited), ["Bob", "Cleo"]);
    const bob = await db.query.users.findFirst({
      where: eq(users.name, "Bob"),
      with: { inviter: { columns: { name: true } } },
    });
    assertEquals(bob?.inviter, { name: "Ann" });
  },
  "many to many, three deep": async (db) => {
    const rows = await db.query.groups.findMany({
      with: { memberships: { with: { user: { columns: { name: true } } } } },
      orderBy: groups.id,
    });
    const found = rows.map(({ name, memberships }) => [
      name,
      memberships.map(({ user }) => user.name).sort(),
    ]);
    assertEquals(found, [["red", ["Ann", "Bob"]], ["blue", ["Ann"]]]);
  },
  "where, limit and offset in a relation": async (db) => {
    const ann = await db.query.users.findFirst({
      with: { posts: { where: gt(posts.score, 5), limit: 1 } },
    });
    assertEquals(titles(ann!.posts), ["First"]);
    const page = await db.query.users.findMany({ orderBy: desc(users.id), limit: 1, offset: 1 });
    assertEquals(names(page), ["Bob"]);
  },
  "where by a function": async (db) => {
    const rows = await db.query.posts.findMany({
      where: (post, { eq, and, gte }) => and(eq(post.authorId, 1), gte(post.score, 10)),
    });
    assertEquals(titles(rows), ["First"]);
  },
  "extras": async (db) => {
    const rows = await db.query.users.findMany({
      columns: { id: true },
      extras: {
        loud: sql<string>`upper(${users.name})`.as("loud"),
        tags: sql<string[]>`${users.profile}->'tags'`.as("tags"),
      },
      orderBy: users.id,
      limit: 1,
    });
    assertEquals(rows, [{ id: 1, loud: "ANN", tags: ["a", "b"] }]);
  },
  "timestamps, json and text of a relation": async (db) => {
    const bob = await db.query.users.findFirst({
      where: eq(users.id, 2),
      with: { inviter: { columns: { profile: true, createdAt: true } }, posts: true },
    });
    assertEquals(bob!.inviter, {
      profile: { city: "Oslo", tags: ["a", "b"] },
      createdAt: new Date("2024-01-01T00:00:00.123Z"),
    });
    assertEquals(bob!.posts[0]!.publishedAt, null);
  },
  "a prepared relational query": async (db) => {
    const query = db.query.users.findFirst({
      where: eq(users.id, sql.placeholder("id")),
      with: { posts: { limit: sql.placeholder("posts"), orderBy: posts.id } },
    }).prepare("user_with_posts");
    const ann = await query.execute({ id: 1, posts: 1 });
    assertEquals([ann?.name, titles(ann!.posts)], ["Ann", ["First"]]);
    assertEquals((await query.execute({ id: 3, posts: 1 }))?.posts, []);
  },
};

const RAW: Record<string, Case> = {
  "execute() returns rows, rowCount, command and columns": async (db) => {
    const result = await db.execute<{ id: number; n: string }>(
      sql`select id, count(*) over () as n from ${users} order by id limit 1`,
    );
    assertEquals(result, {
      rows: [{ id: 1, n: "3" }],
      rowCount: 1,
      command: "SELECT",
      columns: [{ name: "id", typeId: 23 }, { name: "n", typeId: 20 }],
    });
  },
  "execute() of a text and of sql.raw": async (db) => {
    assertEquals((await db.execute("select 1 as one")).rows, [{ one: 1 }]);
    assertEquals((await db.execute(sql.raw("select 2 as two"))).rows, [{ two: 2 }]);
  },
  "execute() of a query builder": async (db) => {
    const result = await db.execute(db.select({ id: groups.id }).from(groups).orderBy(groups.id));
    assertEquals(result.rows, [{ id: 1 }, { id: 2 }]);
  },
  "execute() gives the types of Drizzle's node-postgres driver": async (db) => {
    const { rows } = await db.execute(sql`select 1::int2 as i2, 2::int8 as i8, 1.50::numeric as n,
      true as b, '2024-01-02'::date as d, '2024-01-02 03:04:05'::timestamp as ts,
      '2024-01-02 03:04:05+00'::timestamptz as tstz, '1 day'::interval as iv, '{"a":[1]}'::jsonb as j,
      '"5"'::json as js, array[1,2] as ints, array[3::int8] as i8s, '(1,2)'::point as p, null as nil`);
    assertEquals(rows, [{
      i2: 1,
      i8: "2",
      n: "1.50",
      b: true,
      d: "2024-01-02",
      ts: "2024-01-02 03:04:05",
      tstz: "2024-01-02 03:04:05+00",
      iv: "1 day",
      j: { a: [1] },
      js: "5",
      ints: [1, 2],
      i8s: ["3"],
      p: "(1,2)",
      nil: null,
    }]);
  },
  "sql with values of all kinds": async (db) => {
    const at = new Date("2024-01-02T03:04:05.006Z");
    const { rows } = await db.execute(
      sql`select ${"t'ext"}::text as t, ${1}::int as i, ${2n}::int8 as b,
      ${true}::bool as y, ${null}::text as n, ${at}::timestamptz as at,
      ${Uint8Array.of(1, 2)}::bytea as bytes, ${sql.param([1, 2])}::int[] as list`,
    );
    assertEquals(rows, [{
      t: "t'ext",
      i: 1,
      b: "2",
      y: true,
      n: null,
      at: "2024-01-02 03:04:05.006+00",
      bytes: Uint8Array.of(1, 2),
      list: [1, 2],
    }]);
  },
  "sql.join, sql.identifier, sql.empty and append": async (db) => {
    const parts = sql.empty();
    parts.append(sql`select `);
    parts.append(sql.join([sql.identifier("id"), sql.identifier("name")], sql`, `));
    parts.append(sql` from ${sql.identifier("groups")} where id in ${[1, 2]} order by id`);
    assertEquals((await db.execute(parts)).rows, [{ id: 1, name: "red" }, { id: 2, name: "blue" }]);
  },
  "prepare() and execute() with placeholders, many times": async (db) => {
    const query = db.select({ name: users.name }).from(users)
      .where(and(eq(users.id, sql.placeholder("id")), eq(users.role, sql.placeholder("role"))))
      .prepare("by_id_and_role");
    assertEquals(await query.execute({ id: 1, role: "admin" }), [{ name: "Ann" }]);
    assertEquals(await query.execute({ id: 2, role: "admin" }), []);
    assertEquals(await query.execute({ id: 2, role: "member" }), [{ name: "Bob" }]);
  },
  "a prepared insert maps its placeholders as the columns do": async (db) => {
    const query = db.insert(users).values({
      name: sql.placeholder("name"),
      email: sql.placeholder("email"),
      profile: sql.placeholder("profile"),
      createdAt: sql.placeholder("at"),
    }).returning({ profile: users.profile, at: users.createdAt }).prepare("insert_user");
    const at = new Date("2024-01-02T03:04:05.006Z");
    const rows = await query.execute({ name: "P", email: "p@x", profile: { city: "X" }, at });
    assertEquals(rows, [{ profile: { city: "X" }, at }]);
  },
  "a prepared write without returning gives the row count": async (db) => {
    const query = db.update(users).set({ role: "admin" }).where(
      eq(users.id, sql.placeholder("id")),
    ).prepare("promote");
    assertEquals((await query.execute({ id: 2 })).rowCount, 1);
    assertEquals((await query.execute({ id: 99 })).rowCount, 0);
  },
  "a placeholder for limit": async (db) => {
    const query = db.select({ id: users.id }).from(users).orderBy(users.id)
      .limit(sql.placeholder("n")).prepare("some");
    assertEquals((await query.execute({ n: 2 })).length, 2);
  },
  "a placeholder without a value is refused": async (db) => {
    const query = db.select().from(users).where(eq(users.id, sql.placeholder("id"))).prepare("x");
    await assertRejects(() => query.execute({}), Error, 'No value for placeholder "id"');
    assertEquals(await db.$count(users), 3);
  },
  "toSQL() gives the text and the values": async (db) => {
    const query = db.select({ id: users.id }).from(users).where(eq(users.id, 1));
    const { sql: text, params } = query.toSQL();
    assertEquals(text, 'select "id" from "users_of_orm" where "users_of_orm"."id" = $1');
    assertEquals(params, [1]);
    assertEquals(await query, [{ id: 1 }]);
  },
  "a sequence": async (db) => {
    const { rows } = await db.execute(sql`select nextval('numbers') as n`);
    assertEquals(typeof rows[0]!.n, "string");
  },
};

const ERRORS: Record<string, Case> = {
  "a unique violation is a DrizzleQueryError, whose cause is a ServerError": async (db) => {
    const error = await assertRejects(
      () => db.insert(users).values({ ...newUser("Ann") }),
      DrizzleQueryError,
    );
    const cause = error.cause;
    assert(cause instanceof ServerError);
    assertEquals([cause.sqlState, error.query.startsWith("insert into")], ["23505", true]);
  },
  "a value that cannot be sent is refused before anything is sent": async (db) => {
    const error = await assertRejects(
      () => db.select().from(users).where(eq(users.name, "a\0b")),
      DrizzleQueryError,
    );
    assert(error.cause instanceof TypeError);
    assertEquals(await db.$count(users), 3);
  },
  "an unknown table, and nothing runs after it": async (db) => {
    const nowhere = pgTable("nowhere", { id: text() });
    const error = await assertRejects(() => db.select().from(nowhere), DrizzleQueryError);
    assertEquals((error.cause as ServerError).sqlState, "42P01");
    await assertRejects(() => db.select().from(users), DrizzleQueryError);
  },
  "a foreign key, a check of null and an enum's value": async (db) => {
    const failures: [(tx: Pick<Db, "insert" | "update">) => Promise<unknown>, string][] = [
      [(tx) => tx.insert(posts).values({ authorId: 99, title: "x" }).execute(), "23503"],
      [(tx) => tx.insert(groups).values({ id: 9, name: null as never }).execute(), "23502"],
      [(tx) => tx.update(users).set({ role: "owner" as never }).execute(), "22P02"],
    ];
    for (const [fail, sqlState] of failures) {
      const error = await assertRejects(
        () => db.transaction((tx) => fail(tx)),
        DrizzleQueryError,
      );
      assertEquals((error.cause as ServerError).sqlState, sqlState);
    }
    assertEquals(await db.$count(users), 3);
  },
};

const ALL = { select: SELECTS, write: WRITES, relation: RELATIONS, raw: RAW, error: ERRORS };

for (const [kind, cases] of Object.entries(ALL)) {
  for (const [name, test] of Object.entries(cases)) {
    Deno.test(`drizzle, ${kind}: ${name}`, () =>
      database.withSession((session) => test(drizzleOn(session, { schema }), session)));
  }
}
