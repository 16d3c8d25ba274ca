import { timingSafeEqual } from "hono/utils/buffer";
import type { Authenticator } from "../access/authenticator.ts";
import { AccessRefusedError } from "../access/identity.ts";

/** Whose a token is: an operator's, a client's that is no operator, or nobody's. */
export type Operators = (token: string) => Promise<"operator" | "client" | "nobody">;

/** Operators have `OPS_TOKEN`, or a token with the scope `ops`. Undefined if nobody can have either. */
export function operatorsOf(
  authenticator: Pick<Authenticator, "identify" | "mayAllow">,
  opsToken: string | undefined,
): Operators | undefined {
  if (opsToken === undefined && !authenticator.mayAllow("ops")) return undefined;
  return async (token) => {
    if (opsToken !== undefined && await timingSafeEqual(token, opsToken)) return "operator";
    try {
      const { scopes } = await authenticator.identify(`Bearer ${token}`);
      return scopes.has("ops") ? "operator" : "client";
    } catch (error) {
      if (!(error instanceof AccessRefusedError) || error.reason === "unavailable") throw error;
      return "nobody";
    }
  };
}
