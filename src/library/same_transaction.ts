import type { Session } from "../db/mod.ts";

/** How another library asks for its transaction to begin. What is `undefined` is left to the session. */
export interface TransactionRequest {
  readonly isolation?: string | undefined;
  readonly readOnly?: boolean | undefined;
  readonly deferrable?: boolean | undefined;
}

/**
 * A transaction of another library is a savepoint of the session: how it begins has been decided with the session.
 * Throws `TypeError` if the library asks for something else.
 */
export function assertSameTransaction(session: Session, request: TransactionRequest): void {
  const { isolation, readOnly, deferrable } = session.settings;
  const current = { isolation, readOnly, deferrable };
  for (const [name, value] of Object.entries(request)) {
    const is = current[name as keyof TransactionRequest];
    if (value === undefined || sameAs(value) === is) continue;
    throw new TypeError(
      `Cannot begin a transaction with ${name} ${value} as it is a savepoint of the session, where ${name} is ${
        is ?? "not set"
      }; ` +
        `pass { ${name}: ${JSON.stringify(value)} } to db.transaction or db.session`,
    );
  }
}

/** PostgreSQL runs read uncommitted as read committed. https://www.postgresql.org/docs/current/transaction-iso.html */
function sameAs(value: unknown): unknown {
  return value === "read uncommitted" ? "read committed" : value;
}
