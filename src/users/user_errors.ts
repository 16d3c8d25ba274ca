/** The reasons why a request for a user, or a change to one, fails. */

/** Another user has this e-mail address. Addresses are compared without regard to case. */
export class EmailTakenError extends Error {
  override readonly name = "EmailTakenError";

  constructor(options?: ErrorOptions) {
    super("Cannot store the user as another one has this e-mail address; choose another", options);
  }
}

/** No user has this id, or the user was deleted. */
export class UserNotFoundError extends Error {
  override readonly name = "UserNotFoundError";

  constructor() {
    super("Cannot find the user as no user has this id; list users to see which exist");
  }
}

/** The user has changed since the caller read it. */
export class VersionMismatchError extends Error {
  override readonly name = "VersionMismatchError";
  readonly currentVersion: number;

  constructor(currentVersion: number) {
    super(
      "Cannot use the user as it is not at the expected version: " +
        `current version is ${currentVersion}; read it again and repeat the request`,
    );
    this.currentVersion = currentVersion;
  }
}
