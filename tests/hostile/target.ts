/** The service under attack: `src/main.ts` as a process of its own, with a limit on its open files. */
import { join } from "node:path";
import { relayThread } from "../bench/relay_thread.ts";
import { testServer } from "../support/test_server.ts";
import { localDatabase } from "../support/local_database.ts";

const MAIN = join(import.meta.dirname!, "..", "..", "src", "main.ts");

export interface Usage {
  readonly memoryMiB: number;
  readonly descriptors: number;
}

export interface Target extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** All lines of its standard output and its standard error. */
  readonly lines: { readonly out: readonly string[]; readonly err: readonly string[] };
  readonly ended: Promise<Deno.CommandStatus>;
  usage(): Promise<Usage>;
  signal(name: Deno.Signal): void;
  /** The users in its database. */
  countUsers(): Promise<number>;
  /** Runs one statement as the administrator of its database. */
  asAdmin<Row = Record<string, unknown>>(text: string): Promise<Row[]>;
  /** The settings that it got, of which some are secret. */
  readonly env: Readonly<Record<string, string>>;
}

export interface TargetOptions {
  /** `ulimit -n` of the process. */
  readonly openFiles?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts it on a database of its own. Only on Linux: the usage is read from `/proc`. */
export async function startTarget({ openFiles = 1_024, env = {} }: TargetOptions): Promise<Target> {
  const branch = await (await localDatabase()).connect();
  // In a thread of its own, so that the rows of the attackers do not delay the honest client's clock.
  const relay = await relayThread({ port: (await testServer()).port, latencyMs: 0 });
  const settings = {
    ...branch.env,
    DATABASE_WS_PROXY: relay.url,
    PORT: "0",
    QUEUE_CONCURRENCY: "0",
    LOG_LEVEL: "warn",
    ...env,
  };
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      `ulimit -n ${openFiles} && exec "$0" "$@"`,
      ...[Deno.execPath(), "run", "-A", "--quiet", "--no-check", MAIN],
    ],
    env: settings,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines = { out: [] as string[], err: [] as string[] };
  const listening = Promise.withResolvers<string>();
  const reading = [
    read(child.stdout, (line) => {
      lines.out.push(line);
      listening.resolve(line);
    }),
    read(child.stderr, (line) => lines.err.push(line)),
  ];
  const status = child.status;
  void status.then(({ code }) =>
    listening.reject(new Error(`The service ended with ${code}:\n${lines.err.join("\n")}`))
  );
  const { url }: { url: string } = JSON.parse(await listening.promise);
  return {
    port: Number(new URL(url).port),
    url: url.replace("localhost", "127.0.0.1"),
    lines,
    ended: status,
    usage: () => usageOf(child.pid),
    signal: (name) => child.kill(name),
    env: settings,
    asAdmin: (text) => branch.asAdmin(text),
    async countUsers() {
      const [row] = await branch.asAdmin<{ count: bigint }>("select count(*) from users");
      return Number(row?.count);
    },
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
      await Promise.all([status, ...reading]);
      relay[Symbol.dispose]();
      await branch[Symbol.asyncDispose]();
    },
  };
}

async function read(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void) {
  for await (const line of linesOf(stream)) onLine(line);
}

/** Zeros if the process has ended. */
async function usageOf(pid: number): Promise<Usage> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`).catch(() => "");
  if (!status.includes("VmRSS")) return { memoryMiB: 0, descriptors: 0 };
  const [, kibibytes = "0"] = /^VmRSS:\s+(\d+)/m.exec(status) ?? [];
  let descriptors = 0;
  for await (const _ of Deno.readDir(`/proc/${pid}/fd`)) descriptors++;
  return { memoryMiB: Number(kibibytes) / 1_024, descriptors };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}
