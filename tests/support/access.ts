/** Tokens of the services under test, which is nothing that such a service has to keep secret. */
import type { Scope, StaticToken } from "../../src/access/identity.ts";
import { entryOf } from "../../src/dev/dev_token.ts";
import { TOKEN } from "./token.ts";

/** As `TOKEN`, in two other tenants. */
export const OTHER_TOKENS = {
  acme: "acme-token-of-the-tests",
  globex: "globex-token-of-the-tests",
};

/** Tokens of `default` with one scope each. */
export const SCOPED_TOKENS: Readonly<Record<Scope, string>> = {
  "users:read": "reading-token-of-the-tests",
  "users:write": "writing-token-of-the-tests",
  "ops": "operator-token-of-the-tests",
};

export const tokens: readonly StaticToken[] = await Promise.all([
  entryOf(TOKEN, { name: "tests" }),
  ...Object.entries(OTHER_TOKENS).map(([tenant, token]) =>
    entryOf(token, { name: tenant, tenant })
  ),
  ...Object.entries(SCOPED_TOKENS).map(([scope, token]) =>
    entryOf(token, { name: scope.replace(":", "-"), scopes: [scope as Scope] })
  ),
]);

/** Settings of a service that takes these tokens. */
export const ACCESS = { API_TOKENS: JSON.stringify(tokens) };

/** Headers of a request that is to have no token. */
export const ANONYMOUS = { Authorization: "" };

/** The request with `TOKEN`, unless it has a header of its own. */
export function withToken(init: RequestInit = {}): RequestInit {
  const headers = new Headers(init.headers);
  const own = headers.get("Authorization");
  if (own === null) headers.set("Authorization", `Bearer ${TOKEN}`);
  if (own === "") headers.delete("Authorization");
  return { ...init, headers };
}
