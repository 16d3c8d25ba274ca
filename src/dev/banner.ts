import type { Stack } from "./stack.ts";

/** What a newcomer needs next, to be pasted as it is. */
export function banner(
  { url, stack, tookMs }: { url: string; stack: Stack; tookMs: number },
): string {
  return [
    `The service listens on ${url} (${(tookMs / 1_000).toFixed(1)} s)`,
    stack.postgres === undefined
      ? "It uses DATABASE_URL's database; migrations ran there with the same role"
      : `psql ${stack.postgres.url({ role: "postgres" })}`,
    createUser(url),
    `Its connections, live: ${url}/ops`,
    "It restarts when a file under src changes; Ctrl-C ends it all",
  ].join("\n");
}

function createUser(url: string): string {
  const body = JSON.stringify({ email: "ada@example.com", name: "Ada Lovelace" });
  const quoted = Deno.build.os === "windows" ? `"${body.replaceAll('"', '\\"')}"` : `'${body}'`;
  return `curl -i ${url}/users -H "content-type: application/json" -d ${quoted}`;
}
