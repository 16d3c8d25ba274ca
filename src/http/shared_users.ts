/** Which units of the users API share transactions: creates, and reads by id. */
import type { User } from "../users/user.ts";
import { insertUsers, selectUsers, usersById, type UserToCreate } from "../users/user_batch.ts";
import { EmailTakenError, UserNotFoundError } from "../users/user_errors.ts";
import type { UserId } from "../users/user_id.ts";
import type { UserRow } from "../users/user_row.ts";
import { SharedUnits, type SharedWork, type SharingOptions } from "./shared_units.ts";

export interface Create {
  readonly user: UserToCreate;
  /** Called after the commit. */
  readonly onCommitted: () => void | Promise<void>;
}

const CREATES: SharedWork<Create, UserRow, User> = {
  statement: (creates) => insertUsers(creates.map(({ user }) => user)),
  answers(rows, creates) {
    const created = usersById(rows);
    return creates.map(({ user }) => created.get(user.id) ?? new EmailTakenError());
  },
  afterCommit: ([{ onCommitted }]) => onCommitted(),
  max: 100,
  // One may wait for another transaction, which has stored a user with its address.
  timeoutMs: 250,
  // With data in memory a user takes 20 to 50 us, of a transaction of eight.
  slowMs: 0.25,
};

const READS: SharedWork<UserId, UserRow, User> = {
  statement: selectUsers,
  answers(rows, ids) {
    const users = usersById(rows);
    return ids.map((id) => users.get(id) ?? new UserNotFoundError());
  },
  max: 16,
  timeoutMs: 50,
  // Likewise 5 to 40 us.
  slowMs: 0.1,
  readOnly: true,
};

export class SharedUsers {
  readonly creates: SharedUnits<Create, UserRow, User>;
  readonly reads: SharedUnits<UserId, UserRow, User>;

  constructor(options: SharingOptions) {
    this.creates = new SharedUnits(CREATES, options);
    this.reads = new SharedUnits(READS, options);
  }
}
