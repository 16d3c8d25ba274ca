/** Maps failures of the connection layer to problem documents. */

import {
  AcquireTimeoutError,
  classify,
  CommitOutcomeUnknownError,
  CommitRowsLostError,
  databaseErrorIn,
  type DatabaseLayerError,
  DeadlineError,
  PoolClosedError,
  PoolOverloadedError,
  ServerError,
} from "../../db/mod.ts";
import { type Problem, type ProblemDetails, problemIn } from "./problem_document.ts";

/** The kinds of problem that the connection layer has, with status and title. Clients compare `type`, `/problems/KIND`. */
export const databaseProblemKinds = {
  "conflict": [409, "The change conflicts with stored data"],
  "outcome-unknown": [500, "The change may or may not have been made"],
  "rows-lost": [500, "The change was made, but its result was lost"],
  "overloaded": [503, "The service is overloaded"],
  "database-unreachable": [503, "The database cannot be reached"],
  "contention": [503, "The change conflicted with concurrent changes"],
  "shutting-down": [503, "The service is shutting down"],
  "deadline-exceeded": [504, "The request exceeded its time limit"],
} as const;

function problem(kind: keyof typeof databaseProblemKinds, details: ProblemDetails): Problem {
  return problemIn(databaseProblemKinds, kind, details);
}

/** `Retry-After` of failures that carry no `retryAfterMs`. */
const DEFAULT_RETRY_AFTER_MS = 1_000;

/**
 * The problem document for a known failure of `src/db`, also behind the error of an ORM; `undefined` for any other error
 * (`internal` in `problemOf`).
 */
export function databaseProblem(thrown: unknown): Problem | undefined {
  const error = databaseErrorIn(thrown);
  if (error instanceof PoolOverloadedError && error.isUnreachable) {
    return unreachable(error.retryAfterMs);
  }
  if (error instanceof AcquireTimeoutError || error instanceof PoolOverloadedError) {
    return overloaded(error.retryAfterMs);
  }
  if (error instanceof PoolClosedError) {
    return problem("shutting-down", {
      detail:
        "Cannot take new work as this instance is shutting down; try again to reach another one",
      headers: retryAfter(),
    });
  }
  if (error instanceof DeadlineError) return tooLong();
  if (error instanceof CommitOutcomeUnknownError) {
    return problem("outcome-unknown", {
      detail:
        "Cannot tell whether the change was made as the database connection broke during its " +
        "COMMIT; read the resource before you repeat the request",
    });
  }
  if (error instanceof CommitRowsLostError) {
    return problem("rows-lost", {
      detail:
        "Cannot return the result of the change, which was made, as it was lost or could not be " +
        "read; read the resource, and do not repeat the request",
    });
  }
  return failureProblem(error);
}

/** For what the server, a pooler or the network did. The table in `src/db/failures` tells the kinds apart. */
function failureProblem(error: DatabaseLayerError | undefined): Problem | undefined {
  const { kind, connection } = classify(error, "statement");
  switch (kind) {
    case "query_canceled": // by statement_timeout or by our own cancel request
    case "too_long_in_transaction":
    case "pooler_timeout":
      return tooLong();
    case "pooler_full":
      return overloaded();
    case "serialization_failure":
    case "deadlock_detected":
    case "lock_not_available":
      // Not 409: the request conflicts with no stored data, and the same request may succeed later. 503 says that.
      return problem("contention", {
        detail:
          "Cannot make the change as it conflicted with concurrent changes; try again after Retry-After",
        headers: retryAfter(),
      });
  }
  if (connection !== "kept") return unreachable();
  return error instanceof ServerError ? serverProblem(error) : undefined;
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
function serverProblem(error: ServerError): Problem | undefined {
  switch (error.sqlState) {
    case "23503": // foreign_key_violation
    case "23505": // unique_violation
    case "23P01": // exclusion_violation
      return problem("conflict", {
        detail:
          "Cannot make the change as it conflicts with stored data; read the resource, and change the request",
      });
    default:
      // Connection exceptions, insufficient resources, operator intervention.
      return /^(?:08|53|57)/.test(error.sqlState) ? unreachable() : undefined;
  }
}

function overloaded(retryAfterMs?: number): Problem {
  return problem("overloaded", {
    detail: "Cannot get a database connection in time; try again after Retry-After",
    headers: retryAfter(retryAfterMs),
  });
}

function unreachable(retryAfterMs?: number): Problem {
  return problem("database-unreachable", {
    detail: "Cannot reach the database; try again after Retry-After",
    headers: retryAfter(retryAfterMs),
  });
}

function tooLong(): Problem {
  return problem("deadline-exceeded", {
    detail:
      "Cannot finish the request within its time limit; request less at once, or try again later",
  });
}

/** In whole seconds, at least one. https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3 */
function retryAfter(afterMs = DEFAULT_RETRY_AFTER_MS): Record<string, string> {
  return { "Retry-After": String(Math.max(1, Math.ceil(afterMs / 1_000))) };
}
