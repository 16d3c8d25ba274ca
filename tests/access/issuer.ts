/** An issuer of JWTs, with a server for its keys. Tokens are made by WebCrypto, not by the package under test. */

export interface IssuedToken {
  readonly header?: Readonly<Record<string, unknown>>;
  /** Instead of the usual claims, which stay where it has none; `undefined` leaves one out. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly key?: SigningKey;
}

export interface SigningKey {
  readonly kid: string;
  readonly alg: "ES256" | "RS256" | "EdDSA";
  readonly privateKey: CryptoKey;
  readonly jwk: JsonWebKey & { readonly kid: string };
}

const ALGORITHMS = {
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  RS256: {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: 2_048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  EdDSA: { name: "Ed25519" },
} as const;

export async function signingKey(
  kid: string,
  alg: SigningKey["alg"] = "ES256",
): Promise<SigningKey> {
  const pair = await crypto.subtle.generateKey(ALGORITHMS[alg], true, ["sign", "verify"]);
  const { privateKey, publicKey } = pair as CryptoKeyPair;
  const jwk = await crypto.subtle.exportKey("jwk", publicKey);
  return { kid, alg, privateKey, jwk: { ...jwk, kid, alg, use: "sig" } };
}

export function base64Url(value: Uint8Array | string | object): string {
  const text = value instanceof Uint8Array || typeof value === "string"
    ? value
    : JSON.stringify(value);
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

export function claimsOf(token: string): Record<string, unknown> {
  const bytes = Uint8Array.fromBase64(token.split(".")[1]!, { alphabet: "base64url" });
  return JSON.parse(new TextDecoder().decode(bytes));
}

export class Issuer implements AsyncDisposable {
  readonly issuer = "https://id.example.com/";
  readonly audience = "users";
  /** What the server has; `undefined` answers 500, a string is the body as it is. */
  keys: readonly SigningKey[] | string | undefined;
  /** Requests for the keys. */
  reads = 0;
  /** Awaited before each answer. */
  hold: Promise<void> = Promise.resolve();
  readonly #ending = new AbortController();
  readonly #server;

  constructor(keys: readonly SigningKey[]) {
    this.keys = keys;
    this.#server = Deno.serve(
      {
        hostname: "127.0.0.1",
        port: 0,
        onListen: () => {},
        signal: this.#ending.signal,
      },
      async () => {
        this.reads++;
        await this.hold;
        const { keys } = this;
        if (keys === undefined) return new Response(null, { status: 500 });
        if (typeof keys === "string") return new Response(keys);
        return Response.json({ keys: keys.map(({ jwk }) => jwk) });
      },
    );
  }

  get jwksUrl(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/jwks.json`;
  }

  /** Options of an `Authenticator` that takes its tokens. */
  get jwt() {
    const { jwksUrl, issuer, audience } = this;
    return { jwksUrl, issuer, audience };
  }

  /** Settings of a service that takes its tokens. */
  get env() {
    const { jwksUrl, issuer, audience } = this;
    return { AUTH_JWKS_URL: jwksUrl, AUTH_ISSUER: issuer, AUTH_AUDIENCE: audience };
  }

  async token({ header, claims, key }: IssuedToken = {}): Promise<string> {
    const signer = key ?? (this.keys as readonly SigningKey[])[0]!;
    const nowS = Math.floor(Date.now() / 1_000);
    const usual = {
      iss: this.issuer,
      aud: this.audience,
      sub: "web",
      tenant: "acme",
      scope: "openid users:read",
      iat: nowS,
      exp: nowS + 300,
    };
    const head = { alg: signer.alg, kid: signer.kid, typ: "JWT", ...header };
    const signed = `${base64Url(head)}.${base64Url({ ...usual, ...claims })}`;
    const signature = await crypto.subtle.sign(
      ALGORITHMS[signer.alg],
      signer.privateKey,
      new TextEncoder().encode(signed),
    );
    return `${signed}.${base64Url(new Uint8Array(signature))}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Not `shutdown`: it would wait for connections whose client has left.
    this.#ending.abort();
    await this.#server.finished;
  }
}
