/**
 * Runs a module in workerd, the runtime of Cloudflare Workers, on a port of its own. The module is bundled as for a
 * deployment, with the compatibility date and flags of wrangler.toml.
 */
import { join } from "node:path";
import { lockedRun } from "../../src/dev/worker/locked_run.ts";
import { completesWithin } from "../../src/db/time/timeout.ts";
import { heapOf } from "./workerd_heap.ts";
import { workerBundle } from "./worker_bundle.ts";
import { LOG_REJECTIONS, WorkerdLog } from "./workerd_log.ts";
import { signalProcess } from "./signal_process.ts";

const ROOT = join(import.meta.dirname!, "..", "..");

const STOP_TIMEOUT_MS = 10_000;

export interface WorkerdOptions {
  /** Path from the repository's root, or the bundle itself. */
  readonly entry: string | Uint8Array<ArrayBuffer>;
  readonly minify?: boolean;
  /** The Worker's `env`. */
  readonly bindings?: Readonly<Record<string, Json>>;
  /** The directory of the static assets, which the Worker gets as its binding `ASSETS`. */
  readonly assets?: string;
  /** Class by binding. The entry exports the classes. Their storage is in memory. */
  readonly durableObjects?: Readonly<Record<string, string>>;
  /** Queue by binding, and the consumer options of each queue. */
  readonly queues?: {
    readonly producers: Readonly<Record<string, string>>;
    readonly consumers: Readonly<Record<string, Json>>;
  };
  /** The address of a database by Hyperdrive binding. */
  readonly hyperdrives?: Readonly<Record<string, string>>;
  /** The binding of a dataset of the Analytics Engine. Miniflare's keeps nothing. */
  readonly dataset?: string;
  /** Source of a Worker that gets all requests, and reaches the entry as `env.SERVICE`. */
  readonly front?: string;
  /** The front Worker's bindings to entrypoints of the entry beside `SERVICE`, each with its `props`. */
  readonly frontServices?: Readonly<Record<string, EntrypointBinding>>;
  /** Opens an inspector. */
  readonly inspects?: boolean;
  /** Limit for the bundle, and again for the start. */
  readonly timeoutMs?: number;
}

export interface EntrypointBinding {
  /** An exported class. */
  readonly entrypoint: string;
  readonly props?: { readonly [name: string]: Json };
}

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

export interface Workerd extends AsyncDisposable {
  readonly url: URL;
  /** Exceptions and rejections that were not caught in the isolate since the last call. */
  takeUncaught(): string[];
  /** Everything that it has logged as an error so far. */
  readonly log: string;
  /** Resolves once the Worker has logged this text as an error. Everything that it logged before has been read by then. */
  logged(text: string, options: { timeoutMs: number }): Promise<void>;
  /** The heap of the entry's isolate after a garbage collection. Only with `inspects`. */
  heapMiB(): Promise<number>;
  /** Ends the runtime, and waits for the end of its process. */
  stop(): Promise<void>;
}

export async function startWorkerd(options: WorkerdOptions): Promise<Workerd> {
  const {
    entry,
    minify = false,
    bindings = {},
    durableObjects = {},
    queues,
    front,
    frontServices = {},
    hyperdrives = {},
    assets,
    dataset,
    inspects = false,
  } = options;
  const { timeoutMs = 60_000 } = options;
  const [contents, compatibility] = await Promise.all([
    typeof entry === "string"
      ? workerBundle({ entry, minify, timeoutMs })
      : new TextDecoder().decode(entry),
    readCompatibility(),
  ]);
  const directory = await Deno.makeTempDir({ prefix: "workerd-" });
  const child = new Deno.Command(Deno.execPath(), {
    args: lockedRun(import.meta.dirname!, {
      lock: "workerd.lock",
      program: join(import.meta.dirname!, "workerd_process.ts"),
    }),
    // Miniflare does not wait until its temporary directories are removed.
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
    // The process may have ended already.
    await input.close().catch(() => {});
    if (!await completesWithin(child.status, STOP_TIMEOUT_MS)) {
      signalProcess(child, "SIGKILL");
      throw new Error(`Cannot stop workerd within ${STOP_TIMEOUT_MS} ms`);
    }
    await Promise.all([output.end, read]);
    await Deno.remove(directory, { recursive: true });
  }

  const service = {
    ...compatibility,
    bindings,
    durableObjects,
    hyperdrives,
    ...(assets && { assets: assetsOptions(assets) }),
    ...(dataset && { analyticsEngineDatasets: { [dataset]: { dataset: "user_service" } } }),
    ...(queues && { queueProducers: queues.producers, queueConsumers: queues.consumers }),
    modules: [
      { type: "ESModule", path: "main.js", contents: MAIN },
      { type: "ESModule", path: "bundle.js", contents },
    ],
  };
  const run = front === undefined ? service : {
    workers: [
      {
        ...compatibility,
        // Lets it call the `queue` and `scheduled` handlers of the service.
        compatibilityFlags: [...compatibility.compatibilityFlags, "service_binding_extra_handlers"],
        name: "front",
        serviceBindings: {
          SERVICE: "service",
          ...Object.fromEntries(
            Object.entries(frontServices).map(([name, to]) => [name, { name: "service", ...to }]),
          ),
        },
        modules: [{ type: "ESModule", path: "front.js", contents: front }],
      },
      { ...service, name: "service" },
    ],
  };
  const all = inspects ? { ...run, inspectorPort: 0 } : run;
  await input.write(new TextEncoder().encode(`${JSON.stringify(all)}\n`)).catch(() => {});
  const [address = "", inspector] = await completesWithin(output.line, timeoutMs)
    ? (await output.line).split(" ")
    : [];
  const url = URL.parse(address);
  if (url === null) {
    await stop();
    throw new Error(`Cannot start workerd within ${timeoutMs} ms:\n${log.text}`);
  }
  return {
    url,
    get log() {
      return log.text;
    },
    heapMiB: () => heapOf(inspector!),
    takeUncaught: () => log.takeUncaught(),
    logged: (text, { timeoutMs }) => log.seen(text, timeoutMs),
    stop: () => stopping ??= stop(),
    [Symbol.asyncDispose]: () => stopping ??= stop(),
  };
}

/** `line` is `""` if the stream ends before one. Reads the stream to its `end`, so that the writer never waits. */
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

/** As wrangler.toml has them. */
function assetsOptions(directory: string) {
  return {
    directory,
    binding: "ASSETS",
    routerConfig: { has_user_worker: true, invoke_user_worker_ahead_of_assets: true },
    assetConfig: { html_handling: "none", not_found_handling: "none" },
  };
}

const MAIN = `${LOG_REJECTIONS}
export * from "./bundle.js";
export { default } from "./bundle.js";
`;

/** The compatibility date and flags of a deployment. */
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
