import { permissionsOf } from "./permissions.ts";
import type { Stack } from "./stack.ts";

/** The lines printed once the service listens. The commands among them can be pasted as they are. */
export function banner(
  { url, token, stack, migrates, servesOps, tookMs }: {
    url: string;
    /** Without one, the settings name the clients. */
    token: string | undefined;
    stack: Stack;
    /** Whether migrations were applied. */
    migrates: boolean;
    /** Whether `/ops` is served without a token. */
    servesOps: boolean;
    tookMs: number;
  },
): string {
  return [
    `The service listens on ${url} (started in ${(tookMs / 1_000).toFixed(1)} s)`,
    stack.postgres === undefined
      ? "It uses the database of DATABASE_URL; " +
        (migrates ? "migrations ran there as the same role" : "no migrations ran there")
      : `psql ${stack.postgres.url({ role: "postgres" })}`,
    createUser(url, token),
    ...(servesOps ? [`Live view of its database connections: ${url}/ops`] : []),
    ...(servesOps ? [production(stack)] : []),
    "The service restarts when a file under src changes; Ctrl-C stops everything",
  ].join("\n");
}

function createUser(url: string, token = "TOKEN"): string {
  const body = JSON.stringify({ email: "ada@example.com", name: "Ada Lovelace" });
  const quoted = Deno.build.os === "windows" ? `"${body.replaceAll('"', '\\"')}"` : `'${body}'`;
  return `curl -i ${url}/users -H "authorization: Bearer ${token}" ` +
    `-H "content-type: application/json" -d ${quoted}`;
}

/** The permissions of the service without the tools around it. */
function production({ env }: Stack): string {
  const needed = permissionsOf(env)
    .filter(({ reason }) => reason !== undefined)
    .map(({ flag, reason }) => `  ${flag.replace(/(=(?:\w+,){2})\w.*/, "$1…")} ${reason}`);
  return ["`deno task start` runs it with nothing but", ...needed].join("\n");
}
