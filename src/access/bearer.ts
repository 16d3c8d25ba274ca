import { AccessRefusedError } from "./identity.ts";

/** https://www.rfc-editor.org/rfc/rfc6750#section-2.1 */
export const BEARER_TOKEN = /^[\w.~+/-]+=*$/;

/** Longer than any token in use, and short enough that the service can hash what any client sends. */
const MAX_LENGTH = 8_192;

/**
 * The token of an `Authorization` header. The word `Bearer` may be written in any case:
 * https://www.rfc-editor.org/rfc/rfc9110#section-11.1
 *
 * @throws {AccessRefusedError} if there is none. Several headers arrive as one, joined by a comma, and are malformed.
 */
export function bearerToken(header: string | undefined): string {
  const [scheme = ""] = (header ?? "").split(" ", 1);
  if (header === undefined || scheme.toLowerCase() !== "bearer") {
    const current = header === undefined ? "there is no header" : "it is of another scheme";
    throw new AccessRefusedError(
      "missing",
      `Cannot serve the request as it has no bearer token: current Authorization: ${current}; ` +
        "send Authorization: Bearer TOKEN",
    );
  }
  const token = header.slice(scheme.length).replace(/^ +/, "");
  if (token.length <= MAX_LENGTH && BEARER_TOKEN.test(token)) return token;
  const reason = token.length > MAX_LENGTH
    ? `it has more than ${MAX_LENGTH} characters`
    : "it is not one token of A-Z a-z 0-9 - . _ ~ + /, with = only at its end";
  throw new AccessRefusedError(
    "malformed",
    `Cannot read the token of Authorization as ${reason}: current value is not shown; ` +
      "send one header Authorization: Bearer TOKEN",
  );
}
