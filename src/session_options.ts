import type { SessionOptions, TransactionRunner } from "./db/mod.ts";

/** The same database, whose units of work get the options that `map` makes of their own. */
export function mapSessionOptions(
  db: TransactionRunner,
  map: <Options extends SessionOptions>(options: Options) => Options,
): TransactionRunner {
  return {
    session: (options = {}) => db.session(map(options)),
    transaction: (work, options = {}) => db.transaction(work, map(options)),
    forRequest: (observer) => mapSessionOptions(db.forRequest(observer), map),
  };
}
