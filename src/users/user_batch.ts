/** Many users at once. */

import { type Sql, sql } from "../db/mod.ts";
import type { ChangeSession, KeepRows } from "./change_session.ts";
import type { NewUser, User } from "./user.ts";
import { withEvent } from "./user_event.ts";
import type { UserId } from "./user_id.ts";
import { COLUMNS, userOf, type UserRow } from "./user_row.ts";

export const MAX_BATCH_SIZE = 1_000;

export type UserToCreate = NewUser & { readonly id: UserId };

/**
 * Stores new users, and returns those that it has stored, by id. The others have an address that another user has, or an
 * earlier one of the batch. One statement, which ends the session.
 */
export async function createUsers(
  session: ChangeSession,
  users: readonly UserToCreate[],
): Promise<ReadonlyMap<UserId, User>> {
  const [rows] = await session.commit([insertUsers(users, session.keep)]);
  return usersById(rows);
}

/** Stores new users with their events. Its rows are those of `createUsers`. */
export function insertUsers(users: readonly UserToCreate[], keep?: KeepRows): Sql<UserRow> {
  const ids = users.map(({ id }) => id);
  const emails = users.map(({ email }) => email);
  const names = users.map(({ name }) => name);
  return withEvent(
    // In the order of the addresses, as other batches: none waits for one that waits for it.
    sql<UserRow>`
      insert into users (id, email, name)
      select id, email, name
      from unnest(${ids}::uuid[], ${emails}::text[], ${names}::text[])
        with ordinality as item (id, email, name, place)
      order by lower(email collate "C"), place
      on conflict (tenant, email_key) do nothing
      returning ${COLUMNS}`,
    "user.created",
    keep,
  );
}

/** Reads those users that exist. */
export function selectUsers(ids: readonly UserId[]): Sql<UserRow> {
  return sql<UserRow>`select ${COLUMNS} from users where id = any(${ids}::uuid[])`;
}

export function usersById(rows: readonly UserRow[]): ReadonlyMap<UserId, User> {
  return new Map(rows.map((row) => [row.id as UserId, userOf(row)]));
}
