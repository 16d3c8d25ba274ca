/**
 * `deno task bundle`: writes each of `src/worker.ts` and `src/worker_traced.ts` with its imports as one module, and the
 * static assets, for `wrangler deploy` and `wrangler dev`.
 */
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { docsFiles } from "../../docs/files.ts";
import { lockedRun } from "./locked_run.ts";
import { checkoutDirectory } from "../checkout_directory.ts";

export interface BundleOptions {
  /** Path from the repository's root. */
  readonly entry: string;
  readonly minify?: boolean;
  /**
   * Whether a minified bundle lacks the modules of the driver's package that the layer does not use. True for entries of
   * `src`; others may use the package otherwise.
   */
  readonly dropsModules?: boolean;
  /** Whether a minified bundle ends with its source map. */
  readonly sourceMap?: boolean;
  /** Bounds bundling and minifying together. Default 60 000. */
  readonly timeoutMs?: number;
}

/** Bundles `entry` with everything it imports except the runtime's own modules. Throws an `Error` with the reason. */
export async function bundle(
  options: BundleOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const { entry, minify = false, sourceMap = false, timeoutMs = 60_000 } = options;
  const { dropsModules = entry.startsWith("src/") } = options;
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const bundled = await run([
      "bundle",
      "--quiet",
      "--platform=browser",
      "--external=cloudflare:*",
      "--external=node:async_hooks",
      // The minifier reads it, and makes one of its own that leads to the sources.
      ...(sourceMap ? ["--sourcemap=inline"] : []),
      entry,
    ], { signal });
    if (!minify) return bundled;
    const flags = [
      ...(sourceMap ? ["--source-map"] : []),
      ...(dropsModules ? ["--drop-modules"] : []),
    ];
    return await run([...MINIFY, ...flags], { signal, input: bundled });
  } catch (error) {
    const reason = signal.aborted
      ? `it took more than ${timeoutMs} ms`
      : `deno bundle or esbuild failed: ${(error as Error).message}`;
    throw new Error(`Cannot bundle ${entry} as ${reason}`, { cause: error });
  }
}

const MINIFY = lockedRun(import.meta.dirname!, {
  lock: "minify.lock",
  program: join(import.meta.dirname!, "minify.ts"),
});

async function run(
  args: string[],
  { signal, input }: { signal: AbortSignal; input?: Uint8Array<ArrayBuffer> },
): Promise<Uint8Array<ArrayBuffer>> {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    cwd: checkoutDirectory,
    signal,
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // If the write fails, the child has ended, and its exit code and output give the reason.
  const written = input && new Blob([input]).stream().pipeTo(child.stdin).catch(() => {});
  const [{ success, stdout, stderr }] = await Promise.all([child.output(), written]);
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return stdout;
}

export interface WorkerBundle {
  /** The module that a deployment uploads. */
  readonly code: Uint8Array<ArrayBuffer>;
  /** Its source map, with which Cloudflare writes the stacks of logged errors. It does not count as a part of the module. */
  readonly map: string;
}

/** Bundles an entry for a deployment. */
export async function bundleWorker(entry = "src/worker.ts"): Promise<WorkerBundle> {
  const options = { entry, minify: true, sourceMap: true };
  const text = new TextDecoder().decode(await bundle(options));
  const [, code, encoded] = SOURCE_MAP.exec(text)!;
  const map = new TextDecoder().decode(Uint8Array.fromBase64(encoded!));
  return {
    code: new TextEncoder().encode(`${code}//# sourceMappingURL=worker.js.map\n`),
    map: JSON.stringify(withoutDirectory(JSON.parse(map))),
  };
}

const SOURCE_MAP = /^(.*)\/\/# sourceMappingURL=data:application\/json;base64,(\S+)\s*$/s;

/** Names the sources from the repository's root, so that the map tells no path of the machine that deploys. */
function withoutDirectory(map: { readonly sources: readonly string[] }): unknown {
  const sources = map.sources.map((source) => {
    const at = Math.max(source.lastIndexOf("/src/"), source.lastIndexOf("/npm/"));
    return at === -1 ? source : source.slice(at + 1);
  });
  return { ...map, sources };
}

/** The gzipped size in bytes, to which Cloudflare's limit applies. */
export async function gzippedSize(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  const compressed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return (await new Response(compressed).bytes()).length;
}

/** Writes the files of the documentation, and nothing else, into `directory`. Returns their size in bytes. */
export async function writeAssets(directory: string): Promise<number> {
  await rm(directory, { recursive: true, force: true });
  let size = 0;
  for (const [path, text] of Object.entries(docsFiles())) {
    const file = join(directory, path);
    await Deno.mkdir(dirname(file), { recursive: true });
    const bytes = new TextEncoder().encode(text);
    await Deno.writeFile(file, bytes);
    size += bytes.length;
  }
  return size;
}

/** Set by `deno task worker` for the build that wrangler runs. */
export const LOCAL_BUILD = "WORKER_LOCAL_BUILD";

if (import.meta.main) {
  if (Deno.env.get(LOCAL_BUILD) === "1") {
    await writeModule("worker", {
      code: await bundle({ entry: "src/dev/worker/loopback_worker.ts" }),
    });
  } else {
    for (const name of ["worker", "worker_traced"]) {
      await writeModule(name, await bundleWorker(`src/${name}.ts`));
    }
  }
  const assets = await writeAssets(join(checkoutDirectory, "dist", "assets"));
  console.log(`dist/assets: ${kilobytes(assets)}`);
}

/** Each module has a directory of its own, because wrangler uploads every module beside the one that it is told. */
async function writeModule(
  name: string,
  { code, map }: Pick<WorkerBundle, "code"> & Partial<WorkerBundle>,
): Promise<void> {
  const file = join(checkoutDirectory, "dist", name, "worker.js");
  await Deno.mkdir(dirname(file), { recursive: true });
  if (map !== undefined) await Deno.writeTextFile(`${file}.map`, map);
  // Renamed into place, so that a process that watches the file never reads half of it.
  await Deno.writeFile(`${file}.new`, code);
  await Deno.rename(`${file}.new`, file);
  const gzipped = kilobytes(await gzippedSize(code));
  console.log(`dist/${name}/worker.js: ${kilobytes(code.length)}, gzipped ${gzipped}`);
}

function kilobytes(size: number): string {
  return `${(size / 1_000).toFixed(1)} kB`;
}
