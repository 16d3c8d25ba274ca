/** Databases that do one thing, for tests of what HTTP makes of it. */

import type { Session } from "../../src/db/mod.ts";
import type { TransactionRunner } from "../../src/db/mod.ts";

/** A session that nothing may use. */
export const unusedSession = {} as Session;

/** Every unit of work and every session fails with `thrown`, which may be anything. */
export function failingDatabase(thrown: unknown): TransactionRunner {
  return {
    transaction: () => Promise.reject(thrown),
    session: () =>
      ({
        commit: () => Promise.reject(thrown),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }) as unknown as Session,
  };
}

/** A database that is never asked: using it fails the test. */
export const untouchedDatabase = failingDatabase(new Error("The database was asked"));

/** Runs each unit of work until it succeeds, or until it failed `attempts` times. */
export function retryingDatabase(attempts: number): TransactionRunner {
  return {
    ...untouchedDatabase,
    async transaction(work) {
      for (let attempt = 1;; attempt++) {
        try {
          return await work(unusedSession);
        } catch (error) {
          if (attempt === attempts) throw error;
        }
      }
    },
  };
}

/** Its sessions answer after `release` was called. */
export function stalledDatabase(): { db: TransactionRunner; release: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const session = {
    commit: () => promise,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const db = { ...untouchedDatabase, session: () => session as unknown as Session };
  return { db, release: resolve };
}
