/**
 * The client's side of SCRAM-SHA-256, by which a server checks a password without receiving it, and shows that it knows the
 * password too: https://www.rfc-editor.org/rfc/rfc5802, https://www.postgresql.org/docs/current/sasl-authentication.html
 *
 * The package's own calls Web Crypto once for each of 4,096 rounds, which are 40 ms of CPU time for each login, takes
 * passwords as they are, and binds no channel.
 */
import { saslPrep } from "./sasl_prep.ts";

/** https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CHANNEL-BINDING */
export type ChannelBinding = "disable" | "prefer" | "require";

/** PostgreSQL's default is 4,096. A server could ask for so many that they take hours, which nothing interrupts. */
const ITERATIONS_MAX = 1_000_000;

/** Bytes of the client's random text. */
const NONCE_BYTES = 18;

const MECHANISM = "SCRAM-SHA-256";
const BOUND_MECHANISM = `${MECHANISM}-PLUS`;

const encoder = new TextEncoder();

/** What a login needs of the password, for one salt and one count of iterations. */
interface ScramKeys {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

/** A password. It keeps the keys of the last login: to derive them is what costs in a login. */
export class ScramPassword {
  readonly #text: string;
  #kept:
    | { readonly salt: string; readonly iterations: number; readonly keys: ScramKeys }
    | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  get isEmpty(): boolean {
    return this.#text === "";
  }

  async keys(salt: string, iterations: number): Promise<ScramKeys> {
    const kept = this.#kept;
    if (kept?.salt === salt && kept.iterations === iterations) return kept.keys;
    const password = encoder.encode(saslPrep(this.#text));
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    const salted = await crypto.subtle.deriveBits(
      { name: "PBKDF2", hash: "SHA-256", salt: bytesOf(salt), iterations },
      key,
      256,
    );
    const keys = {
      client: await hmac(salted, "Client Key"),
      server: await hmac(salted, "Server Key"),
    };
    // Not the promise of it: on Workers it would belong to one request.
    this.#kept = { salt, iterations, keys };
    return keys;
  }
}

/** What is known of the connection that is logged in. */
export interface ScramOptions {
  readonly channelBinding: ChannelBinding;
  /** What the server's certificate gives for channel binding (`tls-server-end-point`), if there is one that is known. */
  readonly certificateHash: Uint8Array | undefined;
}

/** One login. */
export class ScramLogin {
  readonly #password: ScramPassword;
  readonly #options: ScramOptions;
  readonly #nonce = base64Of(crypto.getRandomValues(new Uint8Array(NONCE_BYTES)));
  /** `c` of the client's final message: what the channel is bound to. */
  #channel = "";
  #serverSignature: string | undefined;

  constructor(password: ScramPassword, options: ScramOptions) {
    this.#password = password;
    this.#options = options;
  }

  /** The client's first message. Throws an `Error` if none of the server's mechanisms will do. */
  start(mechanisms: readonly string[]): { readonly mechanism: string; readonly response: string } {
    const { channelBinding, certificateHash } = this.#options;
    const bound = channelBinding === "disable" ? undefined : certificateHash;
    const isBound = bound !== undefined && mechanisms.includes(BOUND_MECHANISM);
    if (!isBound && channelBinding === "require") {
      throw new Error(
        `channel_binding=require needs TLS and a server that offers ${BOUND_MECHANISM}: it offers ` +
          `${mechanisms.join(", ")}${
            bound === undefined ? ", and there is no certificate to bind" : ""
          }`,
      );
    }
    if (!isBound && !mechanisms.includes(MECHANISM)) {
      throw new Error(
        `the server offers no login by ${MECHANISM}: it offers ${mechanisms.join(", ")}`,
      );
    }
    if (this.#password.isEmpty) {
      throw new Error("the server asks for a password, and the URL has none");
    }
    // "y" lets a server that offers channel binding find out that its offer was cut out on the way.
    const header = isBound ? "p=tls-server-end-point,," : bound === undefined ? "n,," : "y,,";
    this.#channel = base64Of(
      Uint8Array.of(...encoder.encode(header), ...(isBound ? bound! : [])),
    );
    return {
      mechanism: isBound ? BOUND_MECHANISM : MECHANISM,
      response: `${header}${this.#bareFirst}`,
    };
  }

  /** The startup message has told the user, so that the server ignores this one. */
  get #bareFirst(): string {
    return `n=*,r=${this.#nonce}`;
  }

  /** The client's final message. Throws an `Error` for a challenge that is none. */
  async answer(challenge: string): Promise<string> {
    const [, nonce, salt, digits] =
      /^r=([!-+\--~]+),s=([A-Za-z\d+/]+={0,2}),i=([1-9]\d*)(?:,|$)/.exec(challenge) ?? [];
    const iterations = Number(digits);
    if (
      nonce === undefined || !nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length
    ) {
      throw new Error("the server's challenge of SCRAM cannot be used");
    }
    if (iterations > ITERATIONS_MAX) {
      throw new Error(
        `the server asks for ${iterations} iterations of SCRAM, and the limit is ${ITERATIONS_MAX}`,
      );
    }
    const keys = await this.#password.keys(salt!, iterations);
    const final = `c=${this.#channel},r=${nonce}`;
    const message = `${this.#bareFirst},${challenge},${final}`;
    const stored = await crypto.subtle.digest("SHA-256", keys.client as BufferSource);
    const signature = await hmac(stored, message);
    this.#serverSignature = base64Of(await hmac(keys.server, message));
    return `${final},p=${base64Of(keys.client.map((byte, index) => byte ^ signature[index]!))}`;
  }

  /** Throws an `Error` unless the server's final message shows that it knows the password. */
  verify(outcome: string): void {
    const signature = /^v=([^,]+)/.exec(outcome)?.[1];
    if (signature !== undefined && signature === this.#serverSignature) return;
    throw new Error(
      "the server has not shown that it knows the password: its signature of SCRAM does not match",
    );
  }
}

async function hmac(key: BufferSource | Uint8Array, text: string): Promise<Uint8Array> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key as BufferSource, algorithm, false, [
    "sign",
  ]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, encoder.encode(text)));
}

function base64Of(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}
