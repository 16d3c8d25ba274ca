/** The public keys of an issuer of tokens, as a JSON Web Key Set at an address: https://www.rfc-editor.org/rfc/rfc7517 */
import { JWKSNoMatchingKey } from "jose/errors";
import { createLocalJWKSet } from "jose/jwks/local";
import type { JWTVerifyGetKey } from "jose/jwt/verify";
import { type Clock, systemClock } from "../db/mod.ts";
import { AccessRefusedError } from "./identity.ts";

/** After this the keys are read again. The old ones are used meanwhile, and if that fails. */
const FRESH_MS = 600_000;

/** For how long keys are used without a new answer: a withdrawn key must not be accepted for ever. */
const STALE_MAX_MS = 24 * 3_600_000;

/** At least this long between two reads: any client can send a token with an unknown key id. */
const PAUSE_MS = 10_000;

/** The same while no keys are known at all, when every request has to wait for them. */
const FIRST_PAUSE_MS = 1_000;

const TIMEOUT_MS = 3_000;

/** The largest set in use, of a provider with one key for each tenant, has some 40 kB. */
const MAX_BYTES = 262_144;

export interface KeySetOptions {
  readonly url: string;
  readonly clock?: Clock;
}

/** The keys of one address: cached, and read again when they are old or a token names an unknown one. */
export class KeySet {
  readonly #url: string;
  readonly #clock: Clock;
  #keys: JWTVerifyGetKey | undefined;
  #readAtMs = -Infinity;
  #triedAtMs = -Infinity;
  #hasFailed = false;
  #reading: Promise<void> | undefined;
  /** Changes when other keys are known than before. */
  version = 0;
  #text = "";

  constructor({ url, clock = systemClock }: KeySetOptions) {
    this.#url = url;
    this.#clock = clock;
  }

  /**
   * The key with which a token was signed.
   *
   * @throws {AccessRefusedError} `unavailable` if the keys that might have it cannot be read.
   * @throws {JWKSNoMatchingKey} if there is none.
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (this.#clock.now() - this.#readAtMs >= FRESH_MS) await this.#read();
    const known = this.#known();
    try {
      return await known(header, token);
    } catch (error) {
      if (!(error instanceof JWKSNoMatchingKey)) throw error;
      await this.#read();
      // A key that was not found might be in the set that could not be read.
      if (this.#hasFailed) throw unavailable();
      return await this.#known()(header, token);
    }
  };

  #known(): JWTVerifyGetKey {
    const isUsable = this.#clock.now() - this.#readAtMs < STALE_MAX_MS;
    if (this.#keys === undefined || !isUsable) throw unavailable();
    return this.#keys;
  }

  /** Returns after the bounded time, with new keys or without, and at once during the pause. Never rejects. */
  async #read(): Promise<void> {
    const sinceMs = this.#clock.now() - this.#triedAtMs;
    // Each caller has a timer of its own. On Workers the fetch of a request that ends is dropped without an error.
    if (this.#reading !== undefined && sinceMs < TIMEOUT_MS) {
      return await within(TIMEOUT_MS, this.#clock, this.#reading);
    }
    if (sinceMs < (this.#keys === undefined ? FIRST_PAUSE_MS : PAUSE_MS)) return;
    this.#triedAtMs = this.#clock.now();
    this.#hasFailed = true;
    const reading = this.#reading = this.#fetch().finally(() => {
      if (this.#reading === reading) this.#reading = undefined;
    });
    await within(TIMEOUT_MS, this.#clock, reading);
  }

  async #fetch(): Promise<void> {
    const controller = new AbortController();
    const cancel = this.#clock.after(TIMEOUT_MS, () => controller.abort());
    try {
      const response = await fetch(this.#url, {
        headers: { Accept: "application/jwk-set+json, application/json" },
        // Workers know no `error`. A redirect has another status than 200.
        redirect: "manual",
        signal: controller.signal,
      });
      const text = response.status === 200 ? await textOf(response) : undefined;
      if (text === undefined) return void response.body?.cancel().catch(() => {});
      if (text !== this.#text) {
        this.#keys = createLocalJWKSet(JSON.parse(text));
        this.#text = text;
        this.version++;
      }
      this.#readAtMs = this.#clock.now();
      this.#hasFailed = false;
    } catch {
      // The old keys stay in use. `unavailable` says what is wrong.
    } finally {
      cancel();
    }
  }
}

/** The body; undefined if it is too large. */
async function textOf({ body }: Response): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > MAX_BYTES) return undefined;
    chunks.push(chunk);
  }
  return await new Blob(chunks as Uint8Array<ArrayBuffer>[]).text();
}

async function within(ms: number, clock: Clock, work: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const cancel = clock.after(ms, late.resolve);
  await Promise.race([work, late.promise]).finally(cancel);
}

function unavailable(): AccessRefusedError {
  return new AccessRefusedError(
    "unavailable",
    "Cannot check the token as the keys of its issuer could not be read; try again after Retry-After",
  );
}
