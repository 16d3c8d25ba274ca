/**
 * Users in PostgreSQL. Each function is one unit of work and ends the session that it is given. Its statements share one
 * flight with COMMIT, so it costs one round trip. Every change also writes its event.
 */

import { ServerError, type Session, type Sql, sql } from "../db/mod.ts";
import { type ChangeSession, keptQuery } from "./change_session.ts";
import type { ExpectedVersions, NewUser, User, UserPatch } from "./user.ts";
import { EmailTakenError, UserNotFoundError, VersionMismatchError } from "./user_errors.ts";
import { withEvent } from "./user_event.ts";
import type { UserId } from "./user_id.ts";
import { COLUMNS, userOf, type UserRow } from "./user_row.ts";

/** Stores a new user. Throws `EmailTakenError`. */
export async function createUser(
  session: ChangeSession,
  id: UserId,
  user: NewUser,
): Promise<User> {
  const insert = sql<UserRow>`
    insert into users (id, email, name) values (${id}, ${user.email}, ${user.name})
    returning ${COLUMNS}`;
  const [[row]] = await orEmailTaken(
    session.commit([withEvent(insert, "user.created", session.keep)]),
  );
  if (row === undefined) throw new TypeError("Cannot create the user as INSERT returned no row");
  return userOf(row);
}

/** Reads a user. Throws `UserNotFoundError`. */
export async function readUser(session: Session, id: UserId): Promise<User> {
  const [[row]] = await session.commit([
    sql<UserRow>`select ${COLUMNS} from users where id = ${id}`,
  ]);
  if (row === undefined) throw new UserNotFoundError();
  return userOf(row);
}

/**
 * Changes the fields of the patch and increments the version. Throws `UserNotFoundError`, `VersionMismatchError` and
 * `EmailTakenError`.
 */
export async function changeUser(
  session: ChangeSession,
  id: UserId,
  patch: UserPatch,
  expected: ExpectedVersions,
): Promise<User> {
  const update = sql<UserRow>`
    update users set
      email = coalesce(${patch.email ?? null}, email),
      name = coalesce(${patch.name ?? null}, name),
      version = version + 1,
      updated_at = now()
    where id = ${id} ${andVersion(expected)}
    returning ${COLUMNS}`;
  const [[row], [current]] = await orEmailTaken(
    session.commit([
      withEvent(update, "user.updated", session.keep),
      keptQuery(selectVersion(id), session.keep),
    ]),
  );
  if (row === undefined) throw unchanged(current);
  return userOf(row);
}

/** Deletes a user. Throws `UserNotFoundError` and `VersionMismatchError`. */
export async function deleteUser(
  session: Session,
  id: UserId,
  expected: ExpectedVersions,
): Promise<void> {
  const remove = sql<{ id: string }>`
    delete from users where id = ${id} ${andVersion(expected)}
    returning id, version + 1 as version`;
  const [[row], [current]] = await session.commit([
    withEvent(remove, "user.deleted"),
    selectVersion(id),
  ]);
  if (row === undefined) throw unchanged(current);
}

function andVersion(expected: ExpectedVersions): Sql<unknown> {
  return expected === "any" ? sql`` : sql`and version = any(${expected}::integer[])`;
}

/** Sent in the same flight as a change: if the change affects no row, the result tells why. */
function selectVersion(id: UserId): Sql<{ version: number }> {
  return sql<{ version: number }>`select version from users where id = ${id}`;
}

function unchanged(current: { version: number } | undefined): Error {
  return current === undefined
    ? new UserNotFoundError()
    : new VersionMismatchError(current.version);
}

async function orEmailTaken<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ServerError && error.constraint === "users_email_key") {
      throw new EmailTakenError({ cause: error });
    }
    throw error;
  }
}
