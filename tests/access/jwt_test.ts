/** JWTs, with keys of a real HTTP server. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Authenticator } from "../../src/access/authenticator.ts";
import { AccessRefusedError, type RefusalReason } from "../../src/access/identity.ts";
import { entryOf } from "../../src/dev/dev_token.ts";
import { createApp } from "../../src/http/app.ts";
import { untouchedDatabase } from "../http/fake_database.ts";
import { assertProblem } from "../http/requests.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { base64Url, claimsOf, Issuer, type SigningKey, signingKey } from "./issuer.ts";

interface Fixture {
  readonly issuer: Issuer;
  readonly key: SigningKey;
  readonly clock: ManualClock;
  readonly authenticator: Authenticator;
  identify(token: string): ReturnType<Authenticator["identify"]>;
  /** Why the token is refused; its client's name if it is not. */
  outcomeOf(token: string): Promise<RefusalReason | string>;
}

function jwtTest(name: string, run: (fixture: Fixture) => Promise<void>): void {
  Deno.test(name, async () => {
    const key = await signingKey("first");
    await using issuer = new Issuer([key]);
    const clock = new ManualClock();
    const authenticator = new Authenticator({ tokens: [], jwt: issuer.jwt }, { clock });
    const identify = (token: string) => authenticator.identify(`Bearer ${token}`);
    const outcomeOf = (token: string) =>
      identify(token).then(({ name }) => name, (error) => {
        if (error instanceof AccessRefusedError) return error.reason;
        throw error;
      });
    await run({ issuer, key, clock, authenticator, identify, outcomeOf });
  });
}

const nowS = () => Math.floor(Date.now() / 1_000);

jwtTest(
  "a JWT gives the client's name, its tenant and the scopes that the service knows",
  async ({ issuer, key, identify }) => {
    const others = await Promise.all([signingKey("rsa", "RS256"), signingKey("ed", "EdDSA")]);
    issuer.keys = [key, ...others];
    for (const each of issuer.keys) {
      const { name, tenant, scopes } = await identify(await issuer.token({ key: each }));
      assertEquals([name, tenant, [...scopes]], ["web", "acme", ["users:read"]], each.alg);
    }
    const bare = await identify(
      await issuer.token({ claims: { scope: undefined, aud: ["x", "users"] } }),
    );
    assertEquals([...bare.scopes], []);
    const all = "ops users:write users:read users:delete";
    const every = await identify(await issuer.token({ claims: { scope: all } }));
    assertEquals([...every.scopes], ["users:read", "users:write", "ops"]);
    assertEquals(issuer.reads, 1);
  },
);

jwtTest("a JWT is another client than a static token of its name", async ({ issuer }) => {
  const signed = await issuer.token();
  const { sub: name, tenant } = claimsOf(signed) as Record<string, string>;
  const entry = await entryOf("static-token", { name: name!, tenant: tenant! });
  const authenticator = new Authenticator({ tokens: [entry], jwt: issuer.jwt });
  const [one, other] = [
    await authenticator.identify("Bearer static-token"),
    await authenticator.identify(`Bearer ${signed}`),
  ];
  assertEquals([one.name, one.tenant], [other.name, other.tenant]);
  assert(one.client !== other.client);
});

jwtTest("a JWT that is wrong in one thing is refused", async ({ issuer, key, outcomeOf }) => {
  assertEquals(await outcomeOf(await issuer.token()), "web");
  const wrongClaims: readonly Record<string, unknown>[] = [
    { iss: "https://id.example.com" },
    { iss: undefined },
    { aud: "other" },
    { aud: ["other"] },
    { aud: undefined },
    { exp: nowS() - 60 },
    { exp: undefined },
    { exp: "never" },
    { nbf: nowS() + 60 },
    { sub: undefined },
    { sub: "" },
    { sub: 7 },
    { tenant: undefined },
    { tenant: "*" },
    { tenant: "" },
    { tenant: "ACME" },
    { tenant: ["acme"] },
    { tenant: "a".repeat(64) },
  ];
  for (const claims of wrongClaims) {
    assertEquals(
      await outcomeOf(await issuer.token({ claims })),
      "invalid",
      JSON.stringify(claims),
    );
  }
  const wrongHeaders: readonly Record<string, unknown>[] = [
    { alg: "none" },
    { alg: "HS256" },
    { alg: "RS256" },
    { alg: "ES384" },
    { alg: undefined },
    { crit: ["exp"] },
    { kid: "second" },
    { b64: false, crit: ["b64"] },
  ];
  for (const header of wrongHeaders) {
    assertEquals(
      await outcomeOf(await issuer.token({ header })),
      "invalid",
      JSON.stringify(header),
    );
  }
  // Another's key under the same name.
  const forged = await issuer.token({ key: await signingKey("first") });
  assertEquals(await outcomeOf(forged), "invalid");
  const token = await issuer.token();
  const [head, body, signature] = token.split(".") as [string, string, string];
  const broken = [
    `${head}.${body}.`,
    `${head}.${body}.${signature.slice(4)}`,
    `${head}.${base64Url({ ...claimsOf(token), tenant: "globex" })}.${signature}`,
    `${base64Url({ alg: "none" })}.${body}.`,
    `${base64Url("{")}.${body}.${signature}`,
    `x.${body}.${signature}`,
    "a.b.c",
    "..",
  ];
  for (const token of broken) assertEquals(await outcomeOf(token), "invalid", token);
  // The public key as the secret of HS256, which a verifier that believes the header would accept.
  const secret = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(JSON.stringify(key.jwk)),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const signed = `${base64Url({ alg: "HS256", kid: "first" })}.${body}`;
  const mac = await crypto.subtle.sign("HMAC", secret, new TextEncoder().encode(signed));
  assertEquals(await outcomeOf(`${signed}.${base64Url(new Uint8Array(mac))}`), "invalid");
});

jwtTest(
  "the clocks of issuer and service may differ by some seconds",
  async ({ issuer, outcomeOf }) => {
    for (const claims of [{ exp: nowS() - 3 }, { nbf: nowS() + 3 }, { iat: nowS() + 3_600 }]) {
      assertEquals(await outcomeOf(await issuer.token({ claims })), "web", JSON.stringify(claims));
    }
  },
);

jwtTest(
  "a token that was verified ends with its time all the same",
  async ({ issuer, clock, outcomeOf }) => {
    const token = await issuer.token({ claims: { exp: nowS() - 3 } });
    assertEquals(await outcomeOf(token), "web");
    const fresh = await issuer.token();
    assertEquals(await outcomeOf(fresh), "web");
    issuer.keys = [await signingKey("second")];
    await clock.advance(600_000);
    // The keys were read anew, and the first one was withdrawn.
    assertEquals(await outcomeOf(fresh), "invalid");
  },
);

jwtTest(
  "many requests read the keys once, and unknown keys read them once more",
  async ({ issuer, clock, outcomeOf }) => {
    const tokens = await Promise.all(Array.from({ length: 50 }, () => issuer.token()));
    assertEquals(new Set(await Promise.all(tokens.map(outcomeOf))), new Set(["web"]));
    assertEquals(issuer.reads, 1);
    const unknown = async () =>
      await outcomeOf(await issuer.token({ header: { kid: crypto.randomUUID() } }));
    // Within the pause after the first read.
    for (let index = 0; index < 20; index++) assertEquals(await unknown(), "invalid");
    assertEquals(issuer.reads, 1);
    await clock.advance(10_000);
    await Promise.all(Array.from({ length: 20 }, unknown));
    for (let index = 0; index < 20; index++) assertEquals(await unknown(), "invalid");
    assertEquals(issuer.reads, 2);
  },
);

jwtTest(
  "a new key is known as soon as a token needs it, and the old one as long as it is published",
  async ({ issuer, key, clock, outcomeOf }) => {
    const old = await issuer.token();
    assertEquals(await outcomeOf(old), "web");
    const next = await signingKey("second");
    issuer.keys = [next, key];
    await clock.advance(10_000);
    assertEquals(await outcomeOf(await issuer.token({ key: next })), "web");
    assertEquals(await outcomeOf(await issuer.token({ key })), "web");
    assertEquals(issuer.reads, 2);
    issuer.keys = [next];
    await clock.advance(600_000);
    assertEquals(await outcomeOf(await issuer.token({ key })), "invalid");
    assertEquals(await outcomeOf(old), "invalid");
    assertEquals(await outcomeOf(await issuer.token({ key: next })), "web");
  },
);

jwtTest(
  "while the keys cannot be read, those from before go on for a day, and unknown ones are unavailable",
  async ({ issuer, key, clock, outcomeOf }) => {
    assertEquals(await outcomeOf(await issuer.token()), "web");
    for (const keys of [undefined, "{", '{"keys":1}', "x".repeat(300_000)]) {
      issuer.keys = keys;
      await clock.advance(3_600_000);
      const before: number = issuer.reads;
      assertEquals(await outcomeOf(await issuer.token({ key })), "web");
      assertEquals(issuer.reads, before + 1);
      const other = await issuer.token({ key, header: { kid: "second" } });
      assertEquals(await outcomeOf(other), "unavailable");
      assertEquals(issuer.reads, before + 1, "the pause");
    }
    await clock.advance(24 * 3_600_000);
    assertEquals(await outcomeOf(await issuer.token({ key })), "unavailable");
    issuer.keys = [key];
    await clock.advance(10_000);
    assertEquals(await outcomeOf(await issuer.token({ key })), "web");
  },
);

jwtTest(
  "keys that could not be read at first are read again after a second",
  async ({ issuer, key, clock, outcomeOf }) => {
    issuer.keys = undefined;
    const token = await issuer.token({ key });
    const answers = await Promise.all(Array.from({ length: 10 }, () => outcomeOf(token)));
    assertEquals(new Set(answers), new Set(["unavailable"]));
    assertEquals([await outcomeOf(token), issuer.reads], ["unavailable", 1]);
    issuer.keys = [key];
    await clock.advance(1_000);
    assertEquals(await outcomeOf(token), "web");
  },
);

jwtTest(
  "an issuer that does not answer is waited for at most 3 s, and by one request if keys are known",
  async ({ issuer, key, clock, outcomeOf }) => {
    const held = Promise.withResolvers<void>();
    /** Resolves when the issuer was asked, and so many timers run: one of the request for the keys, and one of each caller. */
    const asked = async (reads: number, { timers }: { timers: number }) => {
      const isWaiting = () => Promise.resolve(issuer.reads === reads && clock.pending === timers);
      assert(await pollUntil(isWaiting, { deadlineMs: 20_000, intervalMs: 1 }));
    };
    issuer.hold = held.promise;
    const first = [outcomeOf(await issuer.token()), outcomeOf(await issuer.token())];
    await asked(1, { timers: 3 });
    await clock.advance(3_000);
    assertEquals(await Promise.all(first), ["unavailable", "unavailable"]);
    assertEquals(clock.pending, 0, "no timer is left");
    issuer.hold = Promise.resolve();
    await clock.advance(1_000);
    assertEquals(await outcomeOf(await issuer.token()), "web");
    issuer.hold = held.promise;
    await clock.advance(600_000);
    const late = outcomeOf(await issuer.token({ key }));
    await asked(3, { timers: 2 });
    await clock.advance(3_000);
    assertEquals(await late, "web");
    assertEquals(
      await outcomeOf(await issuer.token({ key })),
      "web",
      "without a wait, in the pause",
    );
    held.resolve();
  },
);

jwtTest(
  "keys that cannot be read are answered 503 with Retry-After, not 401",
  async ({ issuer, key, authenticator }) => {
    issuer.keys = undefined;
    const app = createApp({ db: untouchedDatabase, authenticator });
    const headers = { Authorization: `Bearer ${await issuer.token({ key })}` };
    const response = await app.request("/users", { headers });
    assertEquals(response.headers.get("Retry-After"), "2");
    assertEquals(response.headers.get("WWW-Authenticate"), null);
    await assertProblem(response, 503, "keys-unavailable");
  },
);

jwtTest(
  "a refusal tells an expired token from a wrong one, and shows neither",
  async ({ issuer, identify }) => {
    const expired = await issuer.token({ claims: { exp: nowS() - 60 } });
    const error = await assertRejects(
      () => identify(expired),
      AccessRefusedError,
      "it has expired",
    );
    assertEquals(error.message.includes(expired), false);
  },
);
