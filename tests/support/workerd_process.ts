/**
 * The process around one workerd, for `workerd.ts`. It reads miniflare's options from the first line of its input, prints
 * the URL, and that of the inspector if there is one, passes on workerd's log, and ends when its input ends, which it does even if the parent is killed.
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
    getInspectorURL(): Promise<URL>;
    dispose(): Promise<void>;
  };
} = await import(MINIFLARE);

// Ctrl-C in a terminal reaches the whole process group. This process ends with its input instead.
process.on("SIGINT", () => {});

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { value: line } = await input.next();
const options = JSON.parse(line!);
const miniflare = new Miniflare({
  ...options,
  host: "127.0.0.1",
  port: 0,
  // Without it workerd reports exceptions to an inspector only.
  verbose: true,
  handleRuntimeStdio(stdout: Readable, stderr: Readable) {
    stdout.resume();
    stderr.pipe(process.stderr);
  },
});
const inspector = "inspectorPort" in options ? ` ${await miniflare.getInspectorURL()}` : "";
console.log(`${await miniflare.ready}${inspector}`);
await input.next();
await miniflare.dispose();
// miniflare's timers would keep the process for seconds.
process.exit();
