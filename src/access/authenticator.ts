/** From the `Authorization` header of a request to its identity. */
import { BoundedMap } from "../bounded_map.ts";
import { type Clock, systemClock } from "../db/mod.ts";
import { sha256 } from "../sha256.ts";
import { bearerToken } from "./bearer.ts";
import { type AccessConfig, AccessRefusedError, type Identity, type Scope } from "./identity.ts";
import { JwtVerifier } from "./json_web_token.ts";

interface KnownToken {
  readonly identity: Identity;
  readonly untilMs: number;
}

/** JWTs that were verified lately: checking a signature costs some 20 times as much as a hash. */
const VERIFIED_MAX = 1_000;

/** Headers that were accepted lately, with the hashes of their tokens: to hash one costs the runtime a turn of another thread. */
const HASHED_MAX = 1_000;

/** A JWT is verified anew after this time. */
const VERIFIED_MS = 60_000;

/** Tells who sends a request. One for an isolate. */
export class Authenticator {
  /** By SHA-256: what is compared is no secret, so that the time of the comparison tells nothing of one. */
  readonly #static: ReadonlyMap<string, Identity>;
  readonly #verified = new BoundedMap<string, KnownToken>(VERIFIED_MAX);
  /** By header. The time of a search tells nothing of one: a `Map` compares texts only if their seeded hashes are equal. */
  readonly #hashes = new BoundedMap<string, string>(HASHED_MAX);
  readonly #jwt: JwtVerifier | undefined;
  readonly #clock: Clock;
  #keysVersion = 0;

  constructor({ tokens, jwt }: AccessConfig, { clock = systemClock }: { clock?: Clock } = {}) {
    this.#static = new Map(
      tokens.map(({ name, sha256, scopes, tenant }) => [
        sha256,
        { name, client: `${tenant} token ${name}`, tenant, scopes: new Set(scopes) },
      ]),
    );
    this.#clock = clock;
    this.#jwt = jwt && new JwtVerifier({ ...jwt, clock });
  }

  /** Whether any token can have the scope. */
  mayAllow(scope: Scope): boolean {
    return this.#jwt !== undefined ||
      [...this.#static.values()].some(({ scopes }) => scopes.has(scope));
  }

  /** What `identify` has made of the same header lately. */
  known(authorization: string | undefined): Identity | undefined {
    const hash = this.#hashes.get(authorization ?? "");
    return hash === undefined ? undefined : this.#identityOf(hash);
  }

  /** @throws {AccessRefusedError} */
  async identify(authorization: string | undefined): Promise<Identity> {
    const known = this.known(authorization);
    if (known !== undefined) return known;
    const token = bearerToken(authorization);
    const hash = await sha256(token);
    const identity = this.#identityOf(hash);
    if (identity !== undefined) {
      // A client can send its token behind any number of spaces, and so fill the memory with its headers.
      if (authorization!.length === "Bearer ".length + token.length) {
        this.#hashes.set(authorization!, hash);
      }
      return identity;
    }
    // https://www.rfc-editor.org/rfc/rfc7519#section-3: three parts, separated by points.
    if (this.#jwt !== undefined && token.split(".").length === 3) {
      return await this.#verify(this.#jwt, token, hash);
    }
    throw new AccessRefusedError(
      "invalid",
      "Cannot accept the token as no client has it: current value is not shown; " +
        "ask the operators for one",
    );
  }

  #identityOf(hash: string): Identity | undefined {
    return this.#static.get(hash) ?? this.#lately(hash);
  }

  async #verify(jwt: JwtVerifier, token: string, hash: string): Promise<Identity> {
    const { identity, expiresAtMs } = await jwt.verify(token);
    const untilMs = this.#clock.now() + Math.min(VERIFIED_MS, expiresAtMs - Date.now());
    this.#verified.set(hash, { identity, untilMs });
    return identity;
  }

  #lately(hash: string): Identity | undefined {
    const version = this.#jwt?.keys.version ?? 0;
    // A key may have been withdrawn.
    if (version !== this.#keysVersion) this.#verified.clear();
    this.#keysVersion = version;
    const known = this.#verified.get(hash);
    if (known === undefined) return undefined;
    if (this.#clock.now() < known.untilMs) return known.identity;
    this.#verified.delete(hash);
    return undefined;
  }
}
