/** The plan of each statement on users, on a million rows of two tenants, with row-level security. */
import { assert, assertEquals } from "@std/assert";
import { type Database, type Session, type Sql, sql } from "../../src/db/mod.ts";
import { type ListPosition, listUsers, type UserFilter } from "../../src/users/user_list.ts";
import type { UserId } from "../../src/users/user_id.ts";
import { changeUser, deleteUser, readUser } from "../../src/users/user_store.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";

const database = await localDatabase();

const ROWS = 1_000_000;
const TENANT = "acme";
const LIMIT = 50;

/** The id of the user with a number; those of even numbers are `TENANT`'s, and two of others `tiny`'s. */
function idOf(number: number): UserId {
  return `01890000-0000-7000-8000-${number.toString(16).padStart(12, "0")}` as UserId;
}

/** Inserts without the indexes, which are made again at the end, in a fifth of the time. */
async function fill(branch: LocalBranch): Promise<void> {
  const indexes = await branch.asAdmin<{ name: string; definition: string }>(`
    select indexname as name, indexdef as definition from pg_indexes
    where tablename = 'users' and indexname <> 'users_pkey'`);
  for (const { name } of indexes) await branch.asAdmin(`drop index ${name}`);
  await branch.asAdmin(`
    insert into users (id, tenant, email, name, created_at)
    select ('01890000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid,
      case when number in (1, ${
    ROWS - 1
  }) then 'tiny' when number % 2 = 0 then '${TENANT}' else 'other' end,
      'User' || number || '@Example.com',
      (array['Ada', 'Grace', 'Иван', 'Margaret'])[1 + number / 2 % 4] || ' ' || number,
      timestamptz 'epoch' + number * interval '1 millisecond'
    from generate_series(1, ${ROWS}) as number`);
  for (const { definition } of indexes) await branch.asAdmin(definition);
  await branch.asAdmin("vacuum analyze users");
}

/** How a statement is planned: with its values, and run; or as one that was prepared and ran several times. */
const ANALYZED = sql`analyze, costs off, timing off, summary off, buffers off`;
const GENERIC = sql`generic_plan, costs off`;

/** The plan of the first statement that `use` commits, for a tenant. */
async function planOf(
  db: Database,
  use: (session: Session) => Promise<unknown>,
  { options, tenant = TENANT }: { options: Sql; tenant?: string },
): Promise<string> {
  let statement: Sql | undefined;
  const watched = {
    commit(statements: readonly Sql[]) {
      statement = statements[0];
      return Promise.reject(new Error("not sent"));
    },
  } as unknown as Session;
  await use(watched).catch(() => {});
  assert(statement !== undefined);
  await using session = db.session({ locals: { "app.tenant": tenant } });
  const rows = await session.query(
    sql<{ "QUERY PLAN": string }>`explain (${options}) ${statement}`,
  );
  return rows.map((row) => row["QUERY PLAN"]).join("\n");
}

const list = (page: UserFilter & { after?: ListPosition }) => (session: Session) =>
  listUsers(session, { limit: LIMIT, ...page });

const middle = { id: idOf(ROWS / 2) };

/** `fill` creates one user in each millisecond since 1970. */
const created = { ...middle, key: String(ROWS / 2 * 1_000) };

/** By the index that each uses. */
const LISTS = {
  users_tenant_created_at: [list({}), list({ after: created })],
  users_email_key: [
    list({ email: "user500000@example.com" }),
    list({ email: "USER500000@EXAMPLE.COM", namePrefix: "ada" }),
  ],
  users_tenant_name: [
    list({ namePrefix: "a" }),
    list({ namePrefix: "ИВАН 5" }),
    list({ namePrefix: "nobody" }),
    list({ namePrefix: "ada", after: { ...middle, key: "ada 500000" } }),
    list({ namePrefix: "M", after: { ...middle, key: "margaret 77" } }),
  ],
};

const CHANGES = [
  (session: Session) => readUser(session, middle.id),
  (session: Session) => changeUser(session, middle.id, { name: "Eve" }, "any"),
  (session: Session) => changeUser(session, middle.id, { name: "Eve" }, [1, 2]),
  (session: Session) => deleteUser(session, middle.id, [7]),
];

Deno.test("on a million users every list and change uses an index, and reads no row too many", async () => {
  await using branch = await database.connect();
  await fill(branch);
  const db = branch.open();
  for (const [index, uses] of Object.entries(LISTS)) {
    for (const use of uses) {
      for (const options of [ANALYZED, GENERIC]) {
        const plan = await planOf(db, use, { options });
        assert(plan.includes(`using ${index} on users`), plan);
        assert(/Index Cond: \(+tenant = COALESCE/.test(plan), plan);
        assert(!/Seq Scan|Filter: /.test(plan) || index === "users_email_key", plan);
        const read = [...plan.matchAll(/ rows=(\d+)/g)].map(([, rows]) => Number(rows));
        assert(read.every((rows) => rows <= LIMIT + 1), plan);
        assertEquals(read.length > 0, options === ANALYZED);
      }
    }
  }
  for (const use of CHANGES) {
    const plan = await planOf(db, use, { options: GENERIC });
    assert(/Index Scan using users_pkey on users/.test(plan), plan);
    assert(!/Seq Scan on users/.test(plan), plan);
  }
  // The last of its users comes after all others: a list that read those of other tenants would read a million.
  const plan = await planOf(db, list({}), { options: ANALYZED, tenant: "tiny" });
  assert(/using users_tenant_created_at on users \(actual rows=2.00 /.test(plan), plan);
  assert(!/Removed/.test(plan), plan);
});
