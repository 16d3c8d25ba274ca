/**
 * A run of wrangler, as a child of `deno task worker`, that ends with its input: that comes on request and by the
 * parent's death alike, and a terminal's Ctrl-C, which reaches only the parent, ends nothing out of turn.
 */
import { wrangler } from "./wrangler.ts";

const run = wrangler(Deno.args, { stdin: "null" }).spawn();
// One that ends by itself ends this process, too.
void run.status.then(({ code }) => Deno.exit(code));
for await (const _ of Deno.stdin.readable);
run.kill("SIGINT");
