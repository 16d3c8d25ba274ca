/**
 * Runs a module in workerd, the runtime of Cloudflare Workers, behind a port of its own: bundled as for a deployment,
 * with the compatibility date and flags of wrangler.toml.
 */
import { join } from "node:path";
import { lockedRun } from "../../src/dev/worker/locked_run.ts";
import { completesWithin } from "../../src/db/time/timeout.ts";
import { bundle } from "../../src/dev/worker/bundle.ts";
import { TELL_REJECTIONS, WorkerdLog } from "./workerd_log.ts";

const ROOT = join(import.meta.dirname!, "..", "..");

const STOP_TIMEOUT_MS = 10_000;

export interface WorkerdOptions {
  /** From the repository's root. */
  readonly entry: string;
  readonly minify?: boolean;
  /** What the Worker finds in its `env`. */
  readonly bindings?: Readonly<Record<string, Json>>;
  /** Binding to class, each exported by the entry. Their storage is in memory. */
  readonly durableObjects?: Readonly<Record<string, string>>;
  /** Binding to queue, and how the Worker consumes each queue. */
  readonly queues?: {
    readonly producers: Readonly<Record<string, string>>;
    readonly consumers: Readonly<Record<string, Json>>;
  };
  /** Source of a Worker that stands before it, and reaches it as `env.SERVICE`. */
  readonly front?: string;
  /** For the bundle and for the start, each. */
  readonly timeoutMs?: number;
}

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

export interface Workerd extends AsyncDisposable {
  /** Answers any number of requests at once. */
  readonly url: URL;
  /** What nobody caught in the isolate since the last call: exceptions and rejections. */
  takeUncaught(): string[];
  /** All that it has logged as errors so far. */
  readonly log: string;
  /** Resolves once the Worker has logged this text as an error; what it logged before has been read then. */
  logged(text: string, options: { timeoutMs: number }): Promise<void>;
  /** Ends the runtime, and waits until its process is gone. */
  stop(): Promise<void>;
}

export async function startWorkerd(options: WorkerdOptions): Promise<Workerd> {
  const { entry, minify = false, bindings = {}, durableObjects = {}, queues, front } = options;
  const { timeoutMs = 60_000 } = options;
  const [contents, compatibility] = await Promise.all([
    bundle({ entry, minify, timeoutMs }),
    readCompatibility(),
  ]);
  const directory = await Deno.makeTempDir({ prefix: "workerd-" });
  const child = new Deno.Command(Deno.execPath(), {
    args: lockedRun(import.meta.dirname!, {
      lock: "workerd.lock",
      program: join(import.meta.dirname!, "workerd_process.ts"),
    }),
    // Miniflare does not wait until its own are removed.
    env: { TMPDIR: directory, TEMP: directory },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const log = new WorkerdLog();
  const read = log.read(child.stderr);
  const input = child.stdin.getWriter();
  const output = firstLine(child.stdout);

  let stopping: Promise<void> | undefined;
  async function stop(): Promise<void> {
    // It may have ended by itself.
    await input.close().catch(() => {});
    if (!await completesWithin(child.status, STOP_TIMEOUT_MS)) {
      child.kill("SIGKILL");
      throw new Error(`Cannot stop workerd within ${STOP_TIMEOUT_MS} ms`);
    }
    await Promise.all([output.end, read]);
    await Deno.remove(directory, { recursive: true });
  }

  const service = {
    ...compatibility,
    bindings,
    durableObjects,
    ...(queues && { queueProducers: queues.producers, queueConsumers: queues.consumers }),
    modules: [
      { type: "ESModule", path: "main.js", contents: MAIN },
      { type: "ESModule", path: "bundle.js", contents: new TextDecoder().decode(contents) },
    ],
  };
  const run = front === undefined ? service : {
    workers: [
      {
        ...compatibility,
        // That it can hand over batches of messages as the runtime does, and read the answer.
        compatibilityFlags: [...compatibility.compatibilityFlags, "service_binding_extra_handlers"],
        name: "front",
        serviceBindings: { SERVICE: "service" },
        modules: [{ type: "ESModule", path: "front.js", contents: front }],
      },
      { ...service, name: "service" },
    ],
  };
  await input.write(new TextEncoder().encode(`${JSON.stringify(run)}\n`)).catch(() => {});
  const url = await completesWithin(output.line, timeoutMs) ? URL.parse(await output.line) : null;
  if (url === null) {
    await stop();
    throw new Error(`Cannot start workerd within ${timeoutMs} ms:\n${log.text}`);
  }
  return {
    url,
    get log() {
      return log.text;
    },
    takeUncaught: () => log.takeUncaught(),
    logged: (text, { timeoutMs }) => log.seen(text, timeoutMs),
    stop: () => stopping ??= stop(),
    [Symbol.asyncDispose]: () => stopping ??= stop(),
  };
}

/** `line` is `""` if there is none. Reads on to the `end`, so that the writer never waits. */
function firstLine(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): { line: Promise<string>; end: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<string>();
  const read = async () => {
    let text = "";
    for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const end = text.indexOf("\n");
      if (end !== -1) resolve(text.slice(0, end));
    }
    resolve("");
  };
  return { line: promise, end: read() };
}

const MAIN = `${TELL_REJECTIONS}
export * from "./bundle.js";
export { default } from "./bundle.js";
`;

/** The runtime's version and switches, as a deployment has them. */
async function readCompatibility(): Promise<{
  compatibilityDate: string;
  compatibilityFlags: string[];
}> {
  const text = await Deno.readTextFile(join(ROOT, "wrangler.toml"));
  const date = /^compatibility_date = "([\d-]+)"$/m.exec(text)?.[1];
  const flags = /^compatibility_flags = \[([^\]]*)\]/m.exec(text)?.[1];
  if (date === undefined || flags === undefined) {
    throw new Error("Cannot find compatibility_date and compatibility_flags in wrangler.toml");
  }
  return {
    compatibilityDate: date,
    compatibilityFlags: [...flags.matchAll(/^ *"(\w+)"/gm)].map(([, flag]) => flag!),
  };
}
