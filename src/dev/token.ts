/**
 * `deno task token NAME [--scopes=users:read,users:write] [--tenant=default]`: makes a token, and the entry of
 * `API_TOKENS` that lets it in. The token is printed once and stored nowhere.
 */
import { parseArgs } from "node:util";
import { SCOPES } from "../access/identity.ts";
import { apiTokens } from "../settings/access.ts";
import { DEFAULT_TENANT } from "../tenant.ts";
import { entryOf, makeToken } from "./dev_token.ts";
import * as v from "valibot";

async function run(args: readonly string[]): Promise<string> {
  const { positionals: [name, ...rest], values: { scopes, tenant } } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      scopes: { type: "string", default: "users:read,users:write" },
      tenant: { type: "string", default: DEFAULT_TENANT },
    },
  });
  if (name === undefined || rest.length > 0) {
    throw new Error(
      `Usage: deno task token NAME [--scopes=${SCOPES.join(",")}] [--tenant=${DEFAULT_TENANT}]`,
    );
  }
  const token = makeToken();
  const entry = await entryOf(token, { name, scopes: scopes.split(",") as never, tenant });
  const result = v.safeParse(apiTokens(), JSON.stringify([entry]));
  if (!result.success) {
    throw new Error(
      result.issues.map((issue) =>
        `Cannot make the token as its ${v.getDotPath(issue)?.slice(2)} is refused: ${issue.message}`
      ).join("\n"),
    );
  }
  return `token       ${token}\nAPI_TOKENS  [${JSON.stringify(entry)}]`;
}

if (import.meta.main) {
  try {
    console.log(await run(Deno.args));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
