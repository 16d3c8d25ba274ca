/** Problem documents: the body of every refused or failed request. https://www.rfc-editor.org/rfc/rfc9457 */

import type { ContentfulStatusCode } from "hono/utils/http-status";
import { databaseProblemKinds } from "../library/hono/database_problem.ts";
import { type Problem, type ProblemDetails, problemIn } from "../library/hono/problem_document.ts";

export type { InputError, Problem } from "../library/hono/problem_document.ts";
export { respondWithProblem } from "../library/hono/problem_document.ts";

/** Every kind of problem, with its status and title. The names are part of the API: clients compare `type`. */
export const problemKinds = {
  "malformed-request": [400, "The request is malformed"],
  "token-missing": [401, "The request has no bearer token"],
  "token-invalid": [401, "The token is not accepted"],
  "insufficient-scope": [403, "The token does not allow this"],
  "not-found": [404, "The address does not exist"],
  "user-not-found": [404, "The user does not exist"],
  "method-not-allowed": [405, "The address does not support this method"],
  "body-too-slow": [408, "The body arrived too slowly"],
  "email-taken": [409, "Another user has this e-mail address"],
  "request-under-way": [409, "An earlier request with this key is still running"],
  "version-mismatch": [412, "The user has changed in the meantime"],
  "body-too-large": [413, "The body is too large"],
  "unsupported-media-type": [415, "The body has an unsupported media type"],
  "invalid-body": [422, "The body is well-formed but not valid"],
  "idempotency-key-reused": [422, "The key belongs to another request"],
  "precondition-required": [428, "The request must say which version it changes"],
  "rate-limited": [429, "The client sends too many requests"],
  "too-many-at-once": [429, "The client has too many requests running"],
  ...databaseProblemKinds,
  "internal": [500, "The service failed"],
  "keys-unavailable": [503, "The token cannot be checked now"],
  "migrations-missing": [503, "The database lacks migrations"],
  "policies-bypassed": [503, "The tenants of the database are not kept apart"],
} as const satisfies Record<string, readonly [status: ContentfulStatusCode, title: string]>;

export type ProblemKind = keyof typeof problemKinds;

export function problem(kind: ProblemKind, details: ProblemDetails): Problem {
  return problemIn(problemKinds, kind, details);
}

/** Thrown to refuse a request. The response is its `problem`, unchanged. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly problem: Problem;

  constructor(kind: ProblemKind, details: ProblemDetails, options?: ErrorOptions) {
    super(details.detail, options);
    this.problem = problem(kind, details);
  }
}

/** Thrown to refuse a request as an earlier one with its key was refused. */
export class KeptRefusalError extends Error {
  override readonly name = "KeptRefusalError";
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}
