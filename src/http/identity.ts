/** Who sent a request: sets its identity, makes its database that of the identity's tenant, and asks for scopes. */

import type { Context, MiddlewareHandler } from "hono";
import type { Authenticator } from "../access/authenticator.ts";
import type { Identity, Scope } from "../access/identity.ts";
import type { DatabaseVariables } from "../library/hono/mod.ts";
import { asTenant } from "../tenant.ts";
import type { Step } from "../chain.ts";
import { ProblemError } from "./problem.ts";

/** The variables that `authenticate` sets. */
export interface IdentityVariables extends DatabaseVariables {
  /** Who sent the request. */
  identity: Identity;
}

/**
 * Middleware that lets only clients pass that have a token, or whom `callerOf` knows. Behind it, every unit of work of the request is one of the client's
 * tenant: handlers need not name it. Needs `provideDatabase` before it.
 */
export function authenticate(
  authenticator: Pick<Authenticator, "identify" | "known">,
  callerOf: (c: Context) => Identity | undefined = () => undefined,
): MiddlewareHandler<{ Variables: IdentityVariables }> {
  return function authenticate(c, next) {
    const pass = (identity: Identity) => {
      c.set("identity", identity);
      c.set("db", asTenant(c.get("db"), identity.tenant));
      return next();
    };
    const header = c.req.header("Authorization");
    const identity = callerOf(c) ?? authenticator.known(header);
    return identity === undefined ? authenticator.identify(header).then(pass) : pass(identity);
  };
}

/** Middleware of a route that only tokens with the scope may use. Needs `authenticate` before it. */
export function requireScope(
  scope: Scope,
): Step {
  return function requireScope(c, next) {
    const identity: Identity = c.get("identity");
    if (identity.scopes.has(scope)) return next();
    throw new ProblemError("insufficient-scope", {
      detail: `Cannot serve the request as its client lacks a scope: current scopes ${
        [...identity.scopes].join(", ") || "none"
      }; use a token with ${scope}, or a binding whose props have it`,
      headers: challenge({ error: "insufficient_scope", scope }),
    });
  };
}

/** The header of an answer that asks for a token: https://www.rfc-editor.org/rfc/rfc6750#section-3 */
export function challenge(
  parameters: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const words = Object.entries({ realm: "user-service", ...parameters })
    .map(([name, value]) => `${name}="${value}"`);
  return { "WWW-Authenticate": `Bearer ${words.join(", ")}` };
}
