/** The Host header. Clients may put anything into it, and runtimes copy it into the URL that routes a request. */
import { BoundedMap } from "../bounded_map.ts";
import { problem, type ProblemKind } from "./problem.ts";
import { PROTECTIVE_HEADERS } from "./response_headers.ts";

/**
 * `host[:port]`: a name or IPv4 address of letters, digits, dots, hyphens and underscores, or an IPv6 address in brackets.
 * Any other character could end the host within a URL, so that the rest of the header became its path.
 * https://www.rfc-editor.org/rfc/rfc9110#section-7.2
 */
const HOST = /^(?:[\w.-]{1,255}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/i;

/** The origins of valid hosts. Clients name a few, and may name any. */
const origins = new BoundedMap<string, string>(100);

/** The start of a URL with this host; `undefined` if it is not `host[:port]`, or no URL can be made of it. */
export function originOf(host: string): string | undefined {
  const known = origins.get(host);
  if (known !== undefined || !HOST.test(host)) return known;
  // Of the texts that match, URLs refuse a few, such as "1.2.3.999" and a port above 65535.
  const origin = URL.parse(`http://${host}/`)?.origin;
  if (origin !== undefined) origins.set(host, origin);
  return origin;
}

/** Whether `host` is valid as `host[:port]`, and a URL can be made of it. */
export function isHost(host: string): boolean {
  return originOf(host) !== undefined;
}

/** A response to a request that reaches no route. */
export function refuseUnrouted(
  kind: ProblemKind,
  detail: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const document = problem(kind, { detail });
  return new Response(JSON.stringify(document), {
    status: document.status,
    headers: {
      "Content-Type": "application/problem+json",
      ...PROTECTIVE_HEADERS,
      ...headers,
    },
  });
}

/** The response (400) to a Host header that is not `host[:port]`. */
export function refuseHost(): Response {
  return refuseUnrouted(
    "malformed-request",
    "Cannot take the request as its Host header is not host[:port]; send the name of the service",
  );
}
