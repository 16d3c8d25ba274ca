/** Problem documents: the body of a refused or failed request. https://www.rfc-editor.org/rfc/rfc9457 */

import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";

/** One error in the request's input, and its place: in the body, the query, the path or a header. */
export interface InputError {
  /** Place in the body, as a JSON Pointer (https://www.rfc-editor.org/rfc/rfc6901); `""` is the whole body. */
  readonly pointer?: string;
  /** Parameter of the query or the path. */
  readonly parameter?: string;
  /** Name of the header. */
  readonly header?: string;
  /** What is wrong with it. */
  readonly detail: string;
}

/** The members of a problem document that its kind does not decide. */
export interface ProblemDetails {
  /** What happened, and what the client can do. */
  readonly detail: string;
  /** The errors in the request's input. */
  readonly errors?: readonly InputError[];
  /** Headers of the response, such as `Retry-After`. They are not in the document. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A problem document: https://www.rfc-editor.org/rfc/rfc9457#section-3.1. */
export interface Problem extends ProblemDetails {
  /** Clients compare it. Of the layer's own failures: `/problems/KIND`. */
  readonly type: string;
  /** Status of the response. */
  readonly status: ContentfulStatusCode;
  /** The same for every problem of the type. */
  readonly title: string;
}

/** A problem of one of the kinds, each with status and title. Its `type` is `/problems/KIND`. */
export function problemIn<Kind extends string>(
  kinds: Readonly<Record<Kind, readonly [status: ContentfulStatusCode, title: string]>>,
  kind: Kind,
  details: ProblemDetails,
): Problem {
  const [status, title] = kinds[kind];
  return { type: `/problems/${kind}`, status, title, ...details };
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
