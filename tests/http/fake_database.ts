/** Fake databases, each with one behaviour. */

import type { Session } from "../../src/db/mod.ts";
import type { TransactionRunner } from "../../src/db/mod.ts";

/** A session without methods: using it fails the test. */
export const unusedSession = {} as Session;

/** Every unit of work and every session fails with `thrown`, which may be any value. */
export function failingDatabase(thrown: unknown): TransactionRunner {
  return {
    forRequest() {
      return this;
    },
    transaction: () => Promise.reject(thrown),
    session: () =>
      ({
        commit: () => Promise.reject(thrown),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }) as unknown as Session,
  };
}

/** A database that must not be used: using it fails the test. */
export const untouchedDatabase = failingDatabase(new Error("The database was used"));

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

/** A database whose sessions answer only after `release` is called. */
export function stalledDatabase(): { db: TransactionRunner; release: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const session = {
    commit: () => promise,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const db = { ...untouchedDatabase, session: () => session as unknown as Session };
  return { db, release: resolve };
}
