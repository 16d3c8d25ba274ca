/** The service in real workerd, on a database and behind a relay of its own that sees its connections. */
import { assertEquals } from "@std/assert";
import type { SendRequest } from "../http/requests.ts";
import type { Env } from "./branch.ts";
import type { LocalBranch, LocalDatabase } from "./local_database.ts";
import { startWorkerd, type Workerd } from "./workerd.ts";

export interface WorkerHost {
  readonly workerd: Workerd;
  readonly branch: LocalBranch;
  readonly request: SendRequest;
  /** How many connections are open. */
  readonly connections: number;
  /** How many messages have been sent to the server since the last call. */
  takeMessages(): number;
  /** Resolves when no connection is open. */
  quiet(): Promise<void>;
  stop(): Promise<void>;
  /** Adds a test, after which nothing may be left: no connection, and no error that nobody caught. */
  test(name: string, fn: () => Promise<void>): void;
}

export interface WorkerHostOptions {
  /** Of the file's tests, in their names. */
  readonly name: string;
  readonly entry?: string;
  /** Added to what the Worker needs to reach its database. */
  readonly env?: Env;
}

/** Longest time of one test. */
const TIMEOUT_MS = 60_000;

export async function startWorkerHost(
  database: LocalDatabase,
  { name: host, entry = "src/worker.ts", env = {} }: WorkerHostOptions,
): Promise<WorkerHost> {
  const connections = new Set<number>();
  let messages = 0;
  let onQuiet = () => {};
  const branch = await database.connect({
    observe: {
      open: (id) => connections.add(id),
      message: (_, direction) => {
        if (direction === "toServer") messages++;
      },
      close: (id) => {
        connections.delete(id);
        if (connections.size === 0) onQuiet();
      },
    },
  });
  const workerd = await startWorkerd({
    entry,
    minify: true,
    bindings: { ...branch.env, LOG_LEVEL: "error", ...env },
    durableObjects: { DATABASE_OBJECT: "DatabaseObject" },
  });
  const quiet = async () => {
    if (connections.size > 0) await new Promise<void>((resolve) => onQuiet = resolve);
  };
  return {
    workerd,
    branch,
    request: (path, init) => fetch(new URL(path, workerd.url), init),
    get connections() {
      return connections.size;
    },
    takeMessages() {
      const taken = messages;
      messages = 0;
      return taken;
    },
    quiet,
    async stop() {
      await workerd.stop();
      await branch[Symbol.asyncDispose]();
    },
    test(name, fn) {
      Deno.test({
        name: `${host}: ${name}`,
        timeout: TIMEOUT_MS,
        async fn() {
          await fn();
          await quiet();
          assertEquals(workerd.takeUncaught(), []);
        },
      });
    },
  };
}
