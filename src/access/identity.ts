/** Who sends a request, and what they may do. */

/** What a token may allow. */
export const SCOPES = ["users:read", "users:write", "ops"] as const;
/** One of `SCOPES`. */
export type Scope = (typeof SCOPES)[number];

/** The client that a token stands for. */
export interface Identity {
  /** The name of the token in `API_TOKENS`, or the `sub` of a JWT. */
  readonly name: string;
  /**
   * Different for each client. `name` is not: an issuer may give a JWT the name of a token in `API_TOKENS` as its `sub`, and
   * two tenants may have clients of one name.
   */
  readonly client: string;
  /** Whose users the client sees. */
  readonly tenant: string;
  readonly scopes: ReadonlySet<Scope>;
}

/** A token of `API_TOKENS`. The token itself is known to its client only. */
export interface StaticToken {
  readonly name: string;
  /** SHA-256 of the token, in lower-case hexadecimal. */
  readonly sha256: string;
  readonly scopes: readonly Scope[];
  readonly tenant: string;
}

/** Whose JWTs count. */
export interface JwtConfig {
  readonly jwksUrl: string;
  readonly issuer: string;
  readonly audience: string;
}

/** Which clients the service serves. */
export interface AccessConfig {
  readonly tokens: readonly StaticToken[];
  readonly jwt?: JwtConfig;
}

/** Why a request has no identity: it has no token, one that cannot be read, a wrong one, or one that cannot be checked. */
export type RefusalReason = "missing" | "malformed" | "invalid" | "unavailable";

/** The request has no identity. The message is meant for its client. */
export class AccessRefusedError extends Error {
  override readonly name = "AccessRefusedError";
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
