/**
 * Runs wrangler as a child process of `deno task worker`, and ends it when standard input ends: that happens when the
 * parent closes it and when the parent dies. A terminal's Ctrl-C reaches only the parent, which then stops its children
 * in order.
 */
import { wrangler } from "./wrangler.ts";

const run = wrangler(Deno.args, { stdin: "null" }).spawn();
// If wrangler ends by itself, so does this process.
void run.status.then(({ code }) => Deno.exit(code));
for await (const _ of Deno.stdin.readable);
run.kill("SIGINT");
