/**
 * The process around one workerd, for `workerd.ts`: takes miniflare's options from the first line of its input, tells
 * the URL in its output, passes on what workerd logs, and ends with its input, however the other side ended.
 */
import { createInterface } from "node:readline";
import process from "node:process";
import type { Readable } from "node:stream";

// Not in deno.json, nor in an import that Deno can see before it runs: what the project's lock lists is downloaded by
// every first `deno task dev`, and this is 190 MB. `workerd.ts` gives this process a lock of its own.
const MINIFLARE = "npm:miniflare@4.20260730.0";

const { Miniflare }: {
  Miniflare: new (options: Record<string, unknown>) => {
    readonly ready: Promise<URL>;
    dispose(): Promise<void>;
  };
} = await import(MINIFLARE);

// From a terminal it reaches the whole group; here the input ends next.
process.on("SIGINT", () => {});

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { value: options } = await input.next();
const miniflare = new Miniflare({
  ...JSON.parse(options!),
  host: "127.0.0.1",
  port: 0,
  // Without it workerd tells of exceptions to nobody but an inspector.
  verbose: true,
  handleRuntimeStdio(stdout: Readable, stderr: Readable) {
    stdout.resume();
    stderr.pipe(process.stderr);
  },
});
console.log(String(await miniflare.ready));
await input.next();
await miniflare.dispose();
// Its timers would hold the process for seconds.
process.exit();
