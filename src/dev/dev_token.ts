/** The token of a service that a task starts for developers on their own machine. */
import { join } from "node:path";
import { type Scope, SCOPES, type StaticToken } from "../access/identity.ts";
import { sha256 } from "../sha256.ts";
import { DEFAULT_TENANT } from "../tenant.ts";
import { localDirectory } from "./checkout_directory.ts";
import type { Env } from "./env_file.ts";

const TOKEN_BYTES = 24;

/** A new token, 192 random bits in hexadecimal. */
export function makeToken(): string {
  return crypto.getRandomValues(new Uint8Array(TOKEN_BYTES)).toHex();
}

/** What `API_TOKENS` has of a token. */
export async function entryOf(
  token: string,
  { name, scopes = SCOPES, tenant = DEFAULT_TENANT }: {
    name: string;
    scopes?: readonly Scope[];
    tenant?: string;
  },
): Promise<StaticToken> {
  return { name, sha256: await sha256(token), scopes, tenant };
}

/** The environment of a service, and a token that it accepts, if this function has made one. */
export interface Access {
  readonly env: Env;
  readonly token?: string;
}

/** Lets the checkout's own token in, unless the environment names other clients. */
export async function withDevToken(env: Env): Promise<Access> {
  if (env["API_TOKENS"] || env["AUTH_JWKS_URL"]) return { env };
  const token = await checkoutToken();
  return {
    token,
    env: { ...env, API_TOKENS: JSON.stringify([await entryOf(token, { name: "dev" })]) },
  };
}

/** The same at every start, so that a command of the last one still works. Only this user can read the file. */
async function checkoutToken(): Promise<string> {
  const path = join(await localDirectory(), "api-token");
  const stored = await Deno.readTextFile(path).catch(() => "");
  if (/^[0-9a-f]{48}$/.test(stored.trim())) return stored.trim();
  const token = makeToken();
  await Deno.remove(path).catch(() => {});
  await Deno.writeTextFile(path, `${token}\n`, { mode: 0o600, createNew: true });
  return token;
}
