import { join } from "node:path";
import { completesWithin } from "../../db/time/timeout.ts";
import { variables } from "../../settings/schema.ts";
import { LOCAL_BUILD } from "./bundle.ts";
import { inheritedVariables } from "../env_file.ts";
import { localDirectory } from "../checkout_directory.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** One run of the Worker in `wrangler dev`. */
export interface WorkerChild {
  /** Its URL, once it listens; undefined if it ended before that. */
  readonly serving: Promise<string | undefined>;
  /** Its exit code. */
  readonly ended: Promise<number>;
  /** Tells it to end, and kills it after `deadlineMs`. */
  stop(options: { deadlineMs: number }): Promise<void>;
  /** Kills it and the processes that it started, at once. */
  kill(): void;
}

/** Starts `wrangler dev --local` in a process group of its own, with the settings in `env` as the Worker's bindings. */
export async function startWorkerChild(
  env: Env,
  { port }: { port: string },
): Promise<WorkerChild> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--quiet",
      join(import.meta.dirname!, "worker_process.ts"),
      "dev",
      "--local",
      "--ip=127.0.0.1",
      `--port=${port}`,
      "--inspector-port=0",
      "--show-interactive-dev-session=false",
      "--env=",
      `--env-file=${await writeBindings(env)}`,
    ],
    // Otherwise wrangler asks Cloudflare for the location data that `request.cf` would hold.
    env: { ...inheritedVariables(env), CLOUDFLARE_CF_FETCH_ENABLED: "false", [LOCAL_BUILD]: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
    detached: true,
  }).spawn();
  const serving = Promise.withResolvers<string | undefined>();
  printLines(child.stdout, (line) => {
    const url = /Ready on (https?:\/\/[\w.:]+)/.exec(line)?.[1];
    if (url !== undefined) serving.resolve(url);
  });
  let hasEnded = false;
  const ended = child.status.then(({ code }) => {
    hasEnded = true;
    serving.resolve(undefined);
    return code;
  });
  const kill = () => {
    // Kill the whole process group, because wrangler starts processes of its own.
    if (!hasEnded) Deno.kill(Deno.build.os === "windows" ? child.pid : -child.pid, "SIGKILL");
  };
  return {
    serving: serving.promise,
    ended,
    kill,
    async stop({ deadlineMs }) {
      // Closing fails if the child has ended by itself.
      await child.stdin.close().catch(() => {});
      if (!await completesWithin(ended, deadlineMs)) kill();
      await ended;
    },
  };
}

/**
 * Writes the bindings to a file for wrangler, because other users can read the arguments of a process. Returns its
 * path.
 */
async function writeBindings(env: Env): Promise<string> {
  const lines = Object.keys(variables.entries)
    .flatMap((name) => env[name] ? [`${name}='${percentEncoded(env[name])}'\n`] : []);
  const path = join(await localDirectory(), "worker.vars");
  await Deno.writeTextFile(path, lines.join(""), { mode: 0o600 });
  return path;
}

/**
 * Encodes the characters that end a quoted value or that wrangler expands inside quotes. Only URLs contain them, and a
 * URL may percent-encode them.
 */
function percentEncoded(value: string): string {
  return value.replace(/['$\\]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
}

async function printLines(
  output: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const chunk of output.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      console.log(line);
      onLine(line);
    }
  }
}
