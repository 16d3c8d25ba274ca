/** Tokens that another service has signed: https://www.rfc-editor.org/rfc/rfc7519 */
import { JOSEError, JWTExpired } from "jose/errors";
import { jwtVerify } from "jose/jwt/verify";
import type { Clock } from "../db/mod.ts";
import { TENANT_NAME } from "../tenant.ts";
import {
  AccessRefusedError,
  type Identity,
  type JwtConfig,
  type Scope,
  SCOPES,
} from "./identity.ts";
import { KeySet } from "./key_set.ts";

interface JwtOptions extends JwtConfig {
  readonly clock?: Clock;
}

/** No symmetric one: a service that can check such a token could make one. */
const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];

/** How far the clocks of issuer and service may differ. */
const CLOCK_TOLERANCE_S = 5;

/** A token's identity, and when the token ends. */
export interface VerifiedToken {
  readonly identity: Identity;
  readonly expiresAtMs: number;
}

/** Verifies the tokens of one issuer. */
export class JwtVerifier {
  readonly #options: JwtOptions;
  readonly keys: KeySet;

  constructor({ jwksUrl: url, clock, ...options }: JwtOptions) {
    this.#options = { jwksUrl: url, ...options };
    this.keys = new KeySet({ url, ...(clock === undefined ? {} : { clock }) });
  }

  /** @throws {AccessRefusedError} `invalid`, or `unavailable` while the keys cannot be read. */
  async verify(token: string): Promise<VerifiedToken> {
    const { issuer, audience } = this.#options;
    try {
      const { payload } = await jwtVerify(token, this.keys.find, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE_S,
        requiredClaims: ["sub", "exp"],
      });
      return { identity: identityOf(payload), expiresAtMs: payload.exp! * 1_000 };
    } catch (error) {
      if (error instanceof AccessRefusedError) throw error;
      if (error instanceof JWTExpired) throw invalid("it has expired; get a new one", error);
      if (error instanceof JOSEError) throw invalid("it is not valid; get a new one", error);
      // A key of a kind that the runtime does not know.
      throw invalid("it cannot be verified; get one that was signed by another key", error);
    }
  }
}

/** The claims that the README documents: `sub`, `tenant`, and `scope` as https://www.rfc-editor.org/rfc/rfc8693#section-4.2 */
function identityOf({ sub, tenant, scope }: Readonly<Record<string, unknown>>): Identity {
  if (typeof sub !== "string" || sub === "") {
    throw invalid("its claim sub is missing or empty; let its issuer add it");
  }
  if (typeof tenant !== "string" || !TENANT_NAME.test(tenant)) {
    throw invalid("its claim tenant is missing or is no tenant's name; let its issuer add it");
  }
  const words = typeof scope === "string" ? scope.split(" ") : [];
  return {
    name: sub,
    client: `${tenant} sub ${sub}`,
    tenant,
    scopes: new Set(SCOPES.filter((each: Scope) => words.includes(each))),
  };
}

function invalid(reason: string, cause?: unknown): AccessRefusedError {
  return new AccessRefusedError("invalid", `Cannot accept the token as ${reason}`, { cause });
}
