/** The service under attack: `src/main.ts` as a process of its own, with a limit on its open files. */
import { relayThread } from "../bench/relay_thread.ts";
import { testServer } from "../support/test_server.ts";
import { localDatabase } from "../support/local_database.ts";
import { type ServiceProcess, startServiceProcess } from "../support/service_process.ts";

export interface Usage {
  readonly memoryMiB: number;
  readonly descriptors: number;
}

export interface Target extends Omit<ServiceProcess, "pid"> {
  usage(): Promise<Usage>;
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
export async function startTarget(
  { openFiles = 1_024, env = {} }: TargetOptions = {},
): Promise<Target> {
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
  const service = await startServiceProcess({ env: settings, openFiles });
  return {
    port: service.port,
    url: service.url,
    lines: service.lines,
    ended: service.ended,
    usage: () => usageOf(service.pid),
    signal: (name) => service.signal(name),
    env: settings,
    asAdmin: (text) => branch.asAdmin(text),
    async countUsers() {
      const [row] = await branch.asAdmin<{ count: bigint }>("select count(*) from users");
      return Number(row?.count);
    },
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      relay[Symbol.dispose]();
      await branch[Symbol.asyncDispose]();
    },
  };
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
