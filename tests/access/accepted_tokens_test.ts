import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { Authenticator } from "../../src/access/authenticator.ts";
import { AccessRefusedError } from "../../src/access/identity.ts";
import { OTHER_TOKENS, tokens } from "../support/access.ts";
import { TOKEN } from "../support/token.ts";

/** How many texts are hashed during `run`. */
async function hashedBy(run: () => Promise<unknown>): Promise<number> {
  const { digest } = crypto.subtle;
  let count = 0;
  crypto.subtle.digest = (...args) => {
    count++;
    return digest.apply(crypto.subtle, args);
  };
  try {
    await run();
  } finally {
    crypto.subtle.digest = digest;
  }
  return count;
}

Deno.test("a token that was accepted is hashed once, and tokens are never taken for one another", async () => {
  const authenticator = new Authenticator({ tokens });
  const tenantOf = async (token: string) =>
    (await authenticator.identify(`Bearer ${token}`)).tenant;
  const all = [TOKEN, ...Object.values(OTHER_TOKENS)];
  const expected = ["default", ...Object.keys(OTHER_TOKENS)];
  const hashed = await hashedBy(async () => {
    for (let turn = 0; turn < 3; turn++) {
      const tenants: string[] = [];
      for (const token of all) tenants.push(await tenantOf(token));
      assertEquals(tenants, expected);
    }
  });
  assertEquals(hashed, all.length);
  const first = await authenticator.identify(`Bearer ${TOKEN}`);
  assertStrictEquals(await authenticator.identify(`bearer  ${TOKEN}`), first);
});

Deno.test("a token that was refused is not remembered", async () => {
  const authenticator = new Authenticator({ tokens });
  const refused = `Bearer ${TOKEN}x`;
  const hashed = await hashedBy(async () => {
    for (let turn = 0; turn < 2; turn++) {
      await assertRejects(() => authenticator.identify(refused), AccessRefusedError);
    }
  });
  assertEquals(hashed, 2);
});

Deno.test("a header that is longer than its token needs is accepted and not remembered", async () => {
  const authenticator = new Authenticator({ tokens });
  // A client could fill the memory with such headers, each with another number of spaces.
  const padded = `Bearer${" ".repeat(2)}${TOKEN}`;
  const hashed = await hashedBy(async () => {
    for (let turn = 0; turn < 2; turn++) await authenticator.identify(padded);
  });
  assertEquals(hashed, 2);
});
