/** Many users at once. */

import { type Session, sql } from "../db/mod.ts";
import type { ChangeSession } from "./change_session.ts";
import type { NewUser, User } from "./user.ts";
import { withEvent } from "./user_event.ts";
import type { UserId } from "./user_id.ts";
import { COLUMNS, userOf, type UserRow } from "./user_row.ts";

export const MAX_BATCH_SIZE = 1_000;

/**
 * Stores new users, and returns those that it has stored, by id. The others have an address that another user has, or an
 * earlier one of the batch. One statement, which ends the session.
 */
export async function createUsers(
  session: ChangeSession,
  users: readonly (NewUser & { readonly id: UserId })[],
): Promise<ReadonlyMap<UserId, User>> {
  const ids = users.map(({ id }) => id);
  const emails = users.map(({ email }) => email);
  const names = users.map(({ name }) => name);
  const [rows] = await session.commit([
    withEvent(
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
      session.keep,
    ),
  ]);
  return byId(rows);
}

/** Reads users, and returns those that exist, by id. One statement, which ends the session. */
export async function readUsers(
  session: Session,
  ids: readonly UserId[],
): Promise<ReadonlyMap<UserId, User>> {
  const [rows] = await session.commit([
    sql<UserRow>`select ${COLUMNS} from users where id = any(${ids}::uuid[])`,
  ]);
  return byId(rows);
}

function byId(rows: readonly UserRow[]): ReadonlyMap<UserId, User> {
  return new Map(rows.map((row) => [row.id as UserId, userOf(row)]));
}
