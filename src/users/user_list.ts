/**
 * Lists of users, page by page. A page begins after a position, not after a number of rows: whatever is inserted or
 * deleted meanwhile, no user that stays is missed or repeated.
 */

import { type Session, type Sql, sql } from "../db/mod.ts";
import type { User } from "./user.ts";
import type { UserId } from "./user_id.ts";
import { COLUMNS, userOf, type UserRow } from "./user_row.ts";

/** Which users are listed: those that match every part. Without parts, all. */
export interface UserFilter {
  /** The address, in any case of its letters. */
  readonly email?: string | undefined;
  /** The beginning of the name, in any case of its letters. The users are then ordered by name. */
  readonly namePrefix?: string | undefined;
}

/** The place of a user in a list. */
export interface ListPosition {
  /** What the list is ordered by: the name as it is ordered, or the time of creation in microseconds since 1970. */
  readonly key: string;
  readonly id: UserId;
}

/** One page of users. `next` is the `after` of the next page, or null on the last one. */
export interface UserPage {
  readonly users: readonly User[];
  readonly next: ListPosition | null;
}

interface ListedRow extends UserRow {
  readonly key: string;
}

/**
 * Returns at most `limit` users after a position. Ordered by the time of creation and id; with `namePrefix` by name and id,
 * where a user whose name changes between two pages may be in both or in none of them.
 *
 * Not ordered by id alone, for which PostgreSQL may take the primary key, and read the users of all tenants to find a page of
 * one. The conditions call no function on a column: with row-level security PostgreSQL uses an index only for conditions by
 * leakproof functions, which `lower` is not. https://www.postgresql.org/docs/current/rules-privileges.html
 */
export async function listUsers(
  session: Session,
  page: UserFilter & { readonly limit: number; readonly after?: ListPosition | undefined },
): Promise<UserPage> {
  const { limit, email, namePrefix, after } = page;
  const ofEmail = email === undefined ? sql`` : sql`and email_key = lower(${email} collate "C")`;
  const select = namePrefix === undefined
    ? byCreation(ofEmail, after)
    : byName(namePrefix, ofEmail, after);
  const [rows] = await session.commit([
    // One row more than the limit shows that there is a next page.
    sql<ListedRow>`${select} limit ${limit + 1}`,
  ]);
  const last = rows.length > limit ? rows[limit - 1] : undefined;
  return {
    users: rows.slice(0, limit).map(userOf),
    next: last === undefined ? null : { key: last.key, id: last.id as UserId },
  };
}

function byCreation(also: Sql, after: ListPosition | undefined): Sql<ListedRow> {
  const start = after === undefined ? sql`true` : sql`(created_at, id) > (
      timestamptz 'epoch' + ${after.key}::bigint * interval '1 microsecond', ${after.id})`;
  return sql<ListedRow>`
    select ${COLUMNS}, (extract(epoch from created_at) * 1000000)::bigint::text as key
    from users where ${start} ${also} order by created_at, id`;
}

function byName(prefix: string, also: Sql, after: ListPosition | undefined): Sql<ListedRow> {
  const start = after === undefined
    ? sql`name_key >= case_folded(${prefix})`
    : sql`(name_key, id) > (${after.key}, ${after.id})`;
  // Bytes are compared, and those of the last character that there is are the greatest.
  return sql<ListedRow>`
    select ${COLUMNS}, name_key as key
    from users where ${start} and name_key < case_folded(${prefix}) || chr(1114111) ${also}
    order by name_key, id`;
}
