/** The documents in which every refusal and failure leaves the service. https://www.rfc-editor.org/rfc/rfc9457 */

import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";

/** Every kind of problem, with its status and title. The names are part of the API: clients branch on `type`. */
export const problemKinds = {
  "malformed-request": [400, "The request is malformed"],
  "not-found": [404, "There is nothing at this address"],
  "user-not-found": [404, "There is no such user"],
  "method-not-allowed": [405, "The address does not know this method"],
  "body-too-slow": [408, "The body came too slowly"],
  "conflict": [409, "The change contradicts what is stored"],
  "email-taken": [409, "Another user has this e-mail address"],
  "version-mismatch": [412, "The user has changed in the meantime"],
  "body-too-large": [413, "The body is too large"],
  "unsupported-media-type": [415, "The body is of a type that is not read here"],
  "invalid-body": [422, "The body is well-formed but not valid"],
  "internal": [500, "The service failed"],
  "outcome-unknown": [500, "The change may or may not have been made"],
  "rows-lost": [500, "The change was made, and its result was lost"],
  "overloaded": [503, "The service has more work than it can take"],
  "database-unreachable": [503, "The database cannot be reached"],
  "contention": [503, "The change kept colliding with others"],
  "shutting-down": [503, "The service is shutting down"],
  "deadline-exceeded": [504, "The work took longer than it may"],
} as const satisfies Record<string, readonly [status: ContentfulStatusCode, title: string]>;

export type ProblemKind = keyof typeof problemKinds;

/** One fault among several, and where it is: in the body, the query, the path or a header. */
export interface Fault {
  /** https://www.rfc-editor.org/rfc/rfc6901; `""` is the whole body. */
  readonly pointer?: string;
  readonly parameter?: string;
  readonly header?: string;
  readonly detail: string;
}

/** What is told of a problem beyond its kind. */
export interface ProblemDetails {
  readonly detail: string;
  readonly errors?: readonly Fault[];
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

/** Thrown by what reads a request; becomes the response as it is. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly problem: Problem;

  constructor(kind: ProblemKind, details: ProblemDetails, options?: ErrorOptions) {
    super(details.detail, options);
    this.problem = problem(kind, details);
  }
}

/** Writes the document. `requestId` is what `hono/request-id` gave, if it ran. */
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
