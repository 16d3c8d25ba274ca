/** Static tokens, without HTTP. `tests/http/access_cases.ts` has them on each host. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { Authenticator } from "../../src/access/authenticator.ts";
import { AccessRefusedError, type StaticToken } from "../../src/access/identity.ts";
import { entryOf, makeToken } from "../../src/dev/dev_token.ts";
import { parseSettings } from "../../src/settings/settings.ts";

Deno.test("a static token gives its client's name, tenant and scopes, also beside JWTs", async () => {
  const tokens: [string, StaticToken][] = await Promise.all(
    ["acme", "globex"].map(async (tenant) => {
      const token = makeToken();
      return [token, await entryOf(token, { name: `of ${tenant}`, tenant })] as [
        string,
        StaticToken,
      ];
    }),
  );
  const jwt = { jwksUrl: "http://127.0.0.1:1/", issuer: "https://id.example", audience: "x" };
  const entries = tokens.map(([, entry]) => entry);
  for (const config of [{ tokens: entries }, { tokens: entries, jwt }]) {
    const authenticator = new Authenticator(config);
    for (const [token, { name, tenant }] of tokens) {
      const identity = await authenticator.identify(`Bearer ${token}`);
      assertEquals([identity.name, identity.tenant], [name, tenant]);
    }
    const error = await assertRejects(
      () => authenticator.identify(`Bearer ${tokens[0]![0].toUpperCase()}`),
      AccessRefusedError,
    );
    assertEquals(error.reason, "invalid");
  }
});

Deno.test("only a service whose tokens can have the scope ops has operators", async () => {
  const reading = await entryOf("x", { name: "x", scopes: ["users:read"] });
  const operating = await entryOf("y", { name: "y", scopes: ["ops"] });
  const jwt = { jwksUrl: "http://127.0.0.1:1/", issuer: "https://id.example", audience: "x" };
  const mayOperate = (config: ConstructorParameters<typeof Authenticator>[0]) =>
    new Authenticator(config).mayAllow("ops");
  assertEquals(mayOperate({ tokens: [reading] }), false);
  assertEquals(mayOperate({ tokens: [reading, operating] }), true);
  assertEquals(mayOperate({ tokens: [], jwt }), true);
});

async function tokenTask(...args: string[]): Promise<{ code: number; text: string }> {
  const program = join(import.meta.dirname!, "..", "..", "src", "dev", "token.ts");
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", program, ...args],
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

Deno.test("deno task token prints a token and the setting that lets it in", async () => {
  const { code, text } = await tokenTask("web", "--scopes=users:read,ops", "--tenant=acme");
  const [, token, API_TOKENS] = /^token {7}(\S+)\nAPI_TOKENS {2}(.+)\n$/.exec(text) ?? [];
  assertEquals(code, 0, text);
  const { access } = parseSettings({
    DATABASE_URL: "postgresql://app@ep-x.neon.tech/main",
    API_TOKENS,
  });
  const { name, tenant, scopes } = await new Authenticator(access).identify(`Bearer ${token}`);
  assertEquals([name, tenant, [...scopes]], ["web", "acme", ["users:read", "ops"]]);
  for (const args of [[], ["a", "b"], ["web", "--tenant=*"], ["web", "--scopes=all"], ["a b"]]) {
    const refused = await tokenTask(...args);
    assertEquals(refused.code, 1, args.join());
    assert(/^(?:Usage: |Cannot make the token as its )/.test(refused.text), refused.text);
  }
});
