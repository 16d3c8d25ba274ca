/** The unit of work of a request with a key: the session of each attempt, and one that repeats what they have kept. */

import {
  CommitOutcomeUnknownError,
  type RowsOf,
  ServerError,
  type Session,
  type Sql,
} from "../db/mod.ts";
import {
  insertRequest,
  keepRows,
  type KeptAnswer,
  type KeyedRequest,
} from "../idempotency_keys.ts";
import type { ChangeSession } from "../users/change_session.ts";
import { ProblemError } from "./problem.ts";

/** The request is refused for the sake of its key, so that the refusal is not the answer to the key. */
export class KeyRefusedError extends ProblemError {}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const LOCK_NOT_AVAILABLE = "55P03";

export class KeyedUnit {
  readonly #request: KeyedRequest;
  #session: Session | undefined;
  /** Whether an attempt may have been committed: then the next one waits for the end of that, not of another request. */
  #isUnsettled = false;

  constructor(request: KeyedRequest) {
    this.#request = request;
  }

  /** Whether the newest attempt is known to be committed. */
  get isCommitted(): boolean {
    return this.#session?.isCommitted ?? false;
  }

  /** The session of an attempt, for the handler's work. */
  enter(session: Session): ChangeSession {
    this.#session = session;
    let keeping = 0;
    return {
      keep: (rows) => {
        keeping++;
        return keepRows(this.#request, rows);
      },
      commit: async <const Statements extends readonly Sql<unknown>[]>(statements: Statements) => {
        assertCounts("keep their rows", keeping, statements.length);
        try {
          return await session.commit(statements);
        } catch (error) {
          this.#isUnsettled ||= error instanceof CommitOutcomeUnknownError;
          if (!this.#isUnsettled && this.#waitedForKey(error)) throw underWay();
          throw error;
        }
      },
      afterCommit: (hook) => session.afterCommit(hook),
    };
  }

  #waitedForKey(error: unknown): boolean {
    return error instanceof ServerError && error.sqlState === LOCK_NOT_AVAILABLE &&
      error.statement === insertRequest(this.#request, {}).insert.text;
  }
}

/** A session that answers with the rows that were kept. It changes nothing, so that nothing happens after its commit. */
export function sessionOfKept({ results }: KeptAnswer): ChangeSession {
  return {
    commit: <const Statements extends readonly Sql<unknown>[]>(statements: Statements) => {
      assertCounts("have kept rows", results.length, statements.length);
      return Promise.resolve(results as RowsOf<Statements>);
    },
    afterCommit() {},
  };
}

function assertCounts(what: string, current: number, expected: number): void {
  if (current === expected) return;
  throw new TypeError(
    `Cannot commit as all ${expected} statements must ${what}: current count is ${current}; ` +
      "make each of them with session.keep, and commit them together",
  );
}

/** Not retried: the client may come back when the first request has ended, and needs no connection until then. */
export function underWay(): KeyRefusedError {
  return new KeyRefusedError("request-under-way", {
    detail: "Cannot answer yet as an earlier request with this Idempotency-Key is still running; " +
      "send the request again after Retry-After",
    headers: { "Retry-After": "1" },
  });
}
