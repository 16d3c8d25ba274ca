import type { Authenticator } from "../access/authenticator.ts";
import { AccessRefusedError } from "../access/identity.ts";
import { sha256 } from "../sha256.ts";

/** What a token belongs to: an operator, a client that is no operator, or neither of them. */
export type Operators = (token: string) => Promise<"operator" | "client" | "unknown">;

/** Operators have `OPS_TOKEN`, or a token with the scope `ops`. Undefined if the settings allow neither. */
export function operatorsOf(
  authenticator: Pick<Authenticator, "identify" | "mayAllow">,
  opsToken: string | undefined,
): Operators | undefined {
  if (opsToken === undefined && !authenticator.mayAllow("ops")) return undefined;
  return async (token) => {
    // What is compared is no secret, so that the time of the comparison tells nothing of one.
    if (opsToken !== undefined && await sha256(token) === await sha256(opsToken)) return "operator";
    try {
      const { scopes } = await authenticator.identify(`Bearer ${token}`);
      return scopes.has("ops") ? "operator" : "client";
    } catch (error) {
      if (!(error instanceof AccessRefusedError) || error.reason === "unavailable") throw error;
      return "unknown";
    }
  };
}
