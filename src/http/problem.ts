/** Problem documents: the body of every refused or failed request. https://www.rfc-editor.org/rfc/rfc9457 */

import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";

/** Every kind of problem, with its status and title. The names are part of the API: clients compare `type`. */
export const problemKinds = {
  "malformed-request": [400, "The request is malformed"],
  "not-found": [404, "The address does not exist"],
  "user-not-found": [404, "The user does not exist"],
  "method-not-allowed": [405, "The address does not support this method"],
  "body-too-slow": [408, "The body arrived too slowly"],
  "conflict": [409, "The change conflicts with stored data"],
  "email-taken": [409, "Another user has this e-mail address"],
  "version-mismatch": [412, "The user has changed in the meantime"],
  "body-too-large": [413, "The body is too large"],
  "unsupported-media-type": [415, "The body has an unsupported media type"],
  "invalid-body": [422, "The body is well-formed but not valid"],
  "internal": [500, "The service failed"],
  "outcome-unknown": [500, "The change may or may not have been made"],
  "rows-lost": [500, "The change was made, but its result was lost"],
  "overloaded": [503, "The service is overloaded"],
  "database-unreachable": [503, "The database cannot be reached"],
  "migrations-missing": [503, "The database lacks migrations"],
  "contention": [503, "The change conflicted with concurrent changes"],
  "shutting-down": [503, "The service is shutting down"],
  "deadline-exceeded": [504, "The request exceeded its time limit"],
} as const satisfies Record<string, readonly [status: ContentfulStatusCode, title: string]>;

export type ProblemKind = keyof typeof problemKinds;

/** One error in the request's input, and its place: in the body, the query, the path or a header. */
export interface InputError {
  /** Place in the body, as a JSON Pointer (https://www.rfc-editor.org/rfc/rfc6901); `""` is the whole body. */
  readonly pointer?: string;
  /** Parameter of the query or the path. */
  readonly parameter?: string;
  readonly header?: string;
  readonly detail: string;
}

/** The members of a problem document that its kind does not decide. */
export interface ProblemDetails {
  readonly detail: string;
  readonly errors?: readonly InputError[];
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Problem extends ProblemDetails {
  readonly type: string;
  readonly status: ContentfulStatusCode;
  readonly title: string;
}

export function problem(kind: ProblemKind, details: ProblemDetails): Problem {
  const [status, title] = problemKinds[kind];
  return { type: `/problems/${kind}`, status, title, ...details };
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

/** A response with a problem document. By default `requestId` is that of `hono/request-id`, if that middleware ran. */
export function respondWithProblem(
  c: Context,
  { headers, ...document }: Problem,
  requestId: string | undefined = c.get("requestId"),
): Response {
  return c.body(JSON.stringify({ ...document, requestId }), document.status, {
    ...headers,
    "Content-Type": "application/problem+json",
    "Cache-Control": "no-store",
  });
}
