import type { Stack } from "./stack.ts";

/** The lines printed once the service listens. The commands among them can be pasted as they are. */
export function banner(
  { url, stack, servesOps, tookMs }: {
    url: string;
    stack: Stack;
    /** Whether `/ops` is served without a token. */
    servesOps: boolean;
    tookMs: number;
  },
): string {
  return [
    `The service listens on ${url} (started in ${(tookMs / 1_000).toFixed(1)} s)`,
    stack.postgres === undefined
      ? "It uses the database of DATABASE_URL; migrations ran there as the same role"
      : `psql ${stack.postgres.url({ role: "postgres" })}`,
    createUser(url),
    ...(servesOps ? [`Live view of its database connections: ${url}/ops`] : []),
    "The service restarts when a file under src changes; Ctrl-C stops everything",
  ].join("\n");
}

function createUser(url: string): string {
  const body = JSON.stringify({ email: "ada@example.com", name: "Ada Lovelace" });
  const quoted = Deno.build.os === "windows" ? `"${body.replaceAll('"', '\\"')}"` : `'${body}'`;
  return `curl -i ${url}/users -H "content-type: application/json" -d ${quoted}`;
}
