/** Who may send requests, as settings. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { SCOPES } from "../../src/access/identity.ts";
import { parseSettings, SettingsError } from "../../src/settings/settings.ts";
import { permissionsOf } from "../../src/dev/permissions.ts";

const DATABASE_URL = "postgresql://app:secret@ep-x.neon.tech/main";
const TOKEN = "a-token-that-is-pasted-where-its-hash-belongs";
const ENTRY = { name: "web", sha256: "0".repeat(64), scopes: ["users:read"], tenant: "acme" };
const JWT = {
  AUTH_JWKS_URL: "https://id.example.com/jwks.json",
  AUTH_ISSUER: "https://id.example.com/",
  AUTH_AUDIENCE: "users",
};

function problemsOf(env: Record<string, string>): readonly string[] {
  const serving = { hasFiles: true, serves: true };
  return assertThrows(() => parseSettings({ DATABASE_URL, ...env }, serving), SettingsError)
    .problems;
}

Deno.test("API_TOKENS takes a list of tokens, and every scope and name of a tenant", () => {
  const tokens = [
    ENTRY,
    { ...ENTRY, name: "A.b-c_9", sha256: "f".repeat(64), scopes: SCOPES, tenant: "a".repeat(63) },
    { ...ENTRY, name: "x", sha256: "1".repeat(64), tenant: "0_-" },
  ];
  const { access } = parseSettings({ DATABASE_URL, API_TOKENS: JSON.stringify(tokens) });
  assertEquals(access, { tokens: tokens as typeof access.tokens });
});

Deno.test("API_TOKENS refuses what is no list of tokens, and shows neither token nor hash", () => {
  const wrong: readonly (readonly [path: RegExp, value: unknown])[] = [
    [/^API_TOKENS$/, TOKEN],
    [/^API_TOKENS$/, "{"],
    [/^API_TOKENS$/, {}],
    [/^API_TOKENS$/, []],
    [/^API_TOKENS$/, [ENTRY, { ...ENTRY, sha256: "1".repeat(64) }]],
    [/^API_TOKENS$/, [ENTRY, { ...ENTRY, name: "other" }]],
    [/^API_TOKENS\.0$/, [TOKEN]],
    [/^API_TOKENS\.0$/, [null]],
    [/\.sha256$/, [{ ...ENTRY, sha256: TOKEN }]],
    [/\.sha256$/, [{ ...ENTRY, sha256: "A".repeat(64) }]],
    [/\.sha256$/, [{ ...ENTRY, sha256: 7 }]],
    [/\.sha256$/, [{ name: "web", scopes: ["ops"], tenant: "acme" }]],
    [/\.token$/, [{ ...ENTRY, token: TOKEN }]],
    [/\.name$/, [{ ...ENTRY, name: "" }]],
    [/\.name$/, [{ ...ENTRY, name: "two words" }]],
    [/\.scopes$/, [{ ...ENTRY, scopes: [] }]],
    [/\.scopes$/, [{ ...ENTRY, scopes: "users:read" }]],
    [/\.scopes\.0$/, [{ ...ENTRY, scopes: ["users:delete"] }]],
    ...["*", "", "ACME", "-x", "_x", "a b", "a".repeat(64), "é"].map((tenant) =>
      [/\.tenant$/, [{ ...ENTRY, tenant }]] as const
    ),
  ];
  for (const [path, value] of wrong) {
    const API_TOKENS = typeof value === "string" ? value : JSON.stringify(value);
    const [problem, ...others] = problemsOf({ API_TOKENS });
    assertEquals(others, [], API_TOKENS);
    const [, name, rest] = /^Cannot use (\S+) as (.+: current .+; .+)$/.exec(problem!) ?? [];
    assert(name !== undefined && rest !== undefined, problem);
    assert(path.test(name), `${problem} for ${API_TOKENS}`);
    assert(!problem!.includes(TOKEN) && !problem!.includes(ENTRY.sha256), problem);
  }
});

Deno.test("a service needs tokens or an issuer to accept, and the three settings of JWTs belong together", () => {
  const [missing] = problemsOf({});
  assert(/^Cannot serve requests as no client could send one: current .+; set one/.test(missing!));
  assertEquals(parseSettings({ DATABASE_URL }).access, { tokens: [] });
  for (const name of Object.keys(JWT)) {
    const { [name as keyof typeof JWT]: _, ...some } = JWT;
    const [problem, ...others] = problemsOf(some as Record<string, string>);
    assertEquals(others, []);
    assert(problem!.includes(`current ${name} is none; set all three`), problem);
  }
  const { access } = parseSettings({ DATABASE_URL, ...JWT }, { hasFiles: true, serves: true });
  assertEquals(access.jwt, {
    jwksUrl: JWT.AUTH_JWKS_URL,
    issuer: JWT.AUTH_ISSUER,
    audience: JWT.AUTH_AUDIENCE,
  });
});

Deno.test("keys are read by HTTPS, or from this machine", () => {
  for (
    const url of [
      "http://id.example.com/jwks.json",
      "https://user:password@id.example.com/",
      "https://id.example.com/#keys",
      "ftp://id.example.com/",
      "file:///etc/keys",
      "id.example.com",
      "https://id.example.com/a b",
    ]
  ) {
    const [problem] = problemsOf({ ...JWT, AUTH_JWKS_URL: url });
    assert(problem!.startsWith("Cannot use AUTH_JWKS_URL as it must be an https:// URL"), problem);
  }
  for (const url of ["http://127.0.0.1:9/jwks", "http://localhost/jwks", "http://[::1]:9/jwks"]) {
    assertEquals(
      parseSettings({ DATABASE_URL, ...JWT, AUTH_JWKS_URL: url }).access.jwt?.jwksUrl,
      url,
    );
  }
});

Deno.test("the service on Deno may reach the issuer of tokens", () => {
  const net = (env: Record<string, string>) =>
    permissionsOf({ DATABASE_URL, ...env }).find(({ flag }) => flag.startsWith("--allow-net"))!
      .flag;
  assert(!net({}).includes("id.example.com"));
  assert(net(JWT).endsWith(",id.example.com:443"));
  assert(net({ ...JWT, AUTH_JWKS_URL: "http://[::1]:9/jwks" }).endsWith(",[::1]:9"));
});
