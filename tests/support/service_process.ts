/** `src/main.ts` as a process of its own. */
import { join } from "node:path";
import { linesOf } from "../bench/http/lines.ts";
import { signalProcess } from "./signal_process.ts";

const MAIN = join(import.meta.dirname!, "..", "..", "src", "main.ts");

/** Longest start, on a machine where many start at once. */
const START_TIMEOUT_MS = 60_000;

export interface ServiceProcess extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly url: string;
  /** All lines of its standard output and its standard error. */
  readonly lines: { readonly out: readonly string[]; readonly err: readonly string[] };
  readonly ended: Promise<Deno.CommandStatus>;
  signal(name: Deno.Signal): void;
}

export interface ServiceProcessOptions {
  /** Its settings. `PORT` should be 0. */
  readonly env: Readonly<Record<string, string>>;
  /** The options of `deno run`. Default: all permissions. */
  readonly flags?: readonly string[];
  /** `ulimit -n` of the process. Needs a shell. */
  readonly openFiles?: number;
}

/** Resolves when it listens. Its disposal kills it. */
export async function startServiceProcess(
  { env, flags = ["-A"], openFiles }: ServiceProcessOptions,
): Promise<ServiceProcess> {
  const run = [Deno.execPath(), "run", ...flags, "--quiet", "--no-check", MAIN];
  const limited = ["sh", "-c", `ulimit -n ${openFiles} && exec "$0" "$@"`, ...run];
  const [command, ...args] = openFiles === undefined ? run : limited;
  const child = new Deno.Command(command!, { args, env, stdout: "piped", stderr: "piped" }).spawn();
  const lines = { out: [] as string[], err: [] as string[] };
  const listening = Promise.withResolvers<string>();
  const reading = [
    read(child.stdout, (line) => {
      lines.out.push(line);
      listening.resolve(line);
    }),
    read(child.stderr, (line) => lines.err.push(line)),
  ];
  const ended = child.status;
  const kill = () => signalProcess(child, "SIGKILL");
  const timer = setTimeout(kill, START_TIMEOUT_MS);
  void ended.then(({ code }) =>
    listening.reject(new Error(`The service ended with ${code}:\n${lines.err.join("\n")}`))
  );
  const { url }: { url: string } = JSON.parse(await listening.promise);
  clearTimeout(timer);
  return {
    pid: child.pid,
    port: Number(new URL(url).port),
    url: url.replace("localhost", "127.0.0.1"),
    lines,
    ended,
    signal: (name) => signalProcess(child, name),
    async [Symbol.asyncDispose]() {
      kill();
      await Promise.all([ended, ...reading]);
    },
  };
}

async function read(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void) {
  for await (const line of linesOf(stream)) onLine(line);
}
