/** What can be wrong with a change that the database itself accepts or refuses. */

/** Another user has this e-mail address; case makes no difference. */
export class EmailTakenError extends Error {
  override readonly name = "EmailTakenError";

  constructor(options?: ErrorOptions) {
    super("Cannot store the user as another one has this e-mail address; choose another", options);
  }
}

/** There is no such user, or no longer. */
export class UserNotFoundError extends Error {
  override readonly name = "UserNotFoundError";

  constructor() {
    super("Cannot find the user as none has this id; list users to see which exist");
  }
}

/** The user has changed since the caller read it. */
export class VersionMismatchError extends Error {
  override readonly name = "VersionMismatchError";
  readonly currentVersion: number;

  constructor(currentVersion: number) {
    super(
      "Cannot change the user as it is not at the expected version: " +
        `current version is ${currentVersion}; read it again and repeat the change`,
    );
    this.currentVersion = currentVersion;
  }
}
