/** Which units of the users API share transactions: creates, and reads by id. */
import type { NewUser, User } from "../users/user.ts";
import { createUsers, readUsers } from "../users/user_batch.ts";
import { EmailTakenError, UserNotFoundError } from "../users/user_errors.ts";
import type { UserId } from "../users/user_id.ts";
import { SharedUnits, type SharedWork, type SharingOptions } from "./shared_units.ts";

/** A user to create. */
export interface Create {
  readonly user: NewUser & { readonly id: UserId };
  /** Called after the commit. */
  readonly onCommitted: () => void | Promise<void>;
}

const CREATES: SharedWork<Create, User> = {
  async work(session, creates) {
    session.afterCommit(creates[0]!.onCommitted);
    const created = await createUsers(session, creates.map(({ user }) => user));
    return creates.map(({ user }) => created.get(user.id) ?? new EmailTakenError());
  },
  max: 100,
  // One may wait for another transaction, which has stored a user with its address.
  statementTimeoutMs: 250,
};

const READS: SharedWork<UserId, User> = {
  async work(session, ids) {
    const users = await readUsers(session, ids);
    return ids.map((id) => users.get(id) ?? new UserNotFoundError());
  },
  // The server reads one row after the other, and from its disk each takes milliseconds. Alone, several connections share
  // that work.
  max: 16,
  statementTimeoutMs: 50,
  readOnly: true,
};

export class SharedUsers {
  readonly creates: SharedUnits<Create, User>;
  readonly reads: SharedUnits<UserId, User>;

  constructor(options: SharingOptions) {
    this.creates = new SharedUnits(CREATES, options);
    this.reads = new SharedUnits(READS, options);
  }
}
