/** The service in real workerd, with a database and a fault relay of its own. */
import { assertEquals } from "@std/assert";
import { writeAssets } from "../../src/dev/worker/bundle.ts";
import type { SendRequest } from "../http/requests.ts";
import type { Env } from "./branch.ts";
import { type FaultBranch, faultBranch } from "./fault_branch.ts";
import { ACCESS, withToken } from "./access.ts";
import { LEAVING_CLIENT } from "./leaving_client.ts";
import type { LocalDatabase } from "./local_database.ts";
import { AnswerLog } from "./openapi.ts";
import { startWorkerd, type Workerd, type WorkerdOptions } from "./workerd.ts";

export interface WorkerHost {
  readonly name: string;
  readonly workerd: Workerd;
  readonly branch: FaultBranch;
  /** Sends a request with the default token of the tests. */
  readonly request: SendRequest;
  /** The same. The answers are compared with the OpenAPI document when the host stops. */
  readonly documented: SendRequest;
  /** How many WebSocket messages the Worker has sent to the server since the last call. */
  takeMessages(): number;
  /** The process ids of the service's backends. */
  backends(): Promise<number[]>;
  /** Resolves when no connection is open. */
  quiet(): Promise<void>;
  stop(): Promise<void>;
  /** Adds a test. After it no connection may be open, and no error uncaught. */
  test(name: string, fn: () => Promise<void>): void;
  /** Runs what a test does. After it no connection may be open, and no error uncaught. */
  check(fn: () => Promise<void>): Promise<void>;
}

/**
 * Adds a test that runs on all hosts at the same time, a step for each: for cases that wait for most of their time.
 */
export function testOnEach(
  hosts: readonly WorkerHost[],
  name: string,
  fn: (host: WorkerHost) => Promise<void>,
): void {
  Deno.test({
    name,
    timeout: TIMEOUT_MS,
    async fn(test) {
      const steps = hosts.map((host) =>
        test.step({
          name: host.name,
          // Steps that run at the same time would take each other's resources for leaks. The test around them looks for any.
          sanitizeOps: false,
          sanitizeResources: false,
          sanitizeExit: false,
          fn: () => host.check(() => fn(host)),
        })
      );
      await Promise.all(steps);
    },
  });
}

export interface WorkerHostOptions {
  /** The prefix of the names of the file's tests. */
  readonly name: string;
  readonly entry?: string;
  /** Settings beside those of the database. */
  readonly env?: Env;
  /** How the Worker reaches the relay. Default: by a WebSocket; with Hyperdrive, over TCP. */
  readonly transport?: "websocket" | "tcp";
  /** Whether `DATABASE_URL` is a Hyperdrive binding. */
  readonly hasHyperdrive?: boolean;
  /** Whether requests pass a client that can be made to leave: see `leaveWhenTold`. */
  readonly hasLeavingClient?: boolean;
  /** Source of another Worker that gets all requests. */
  readonly front?: string;
  /** As in `WorkerdOptions`. */
  readonly frontServices?: WorkerdOptions["frontServices"];
  /** As in `WorkerdOptions`. */
  readonly inspects?: boolean;
  readonly queues?: WorkerdOptions["queues"];
  readonly dataset?: string;
}

const TIMEOUT_MS = 180_000;

export async function startWorkerHost(
  database: LocalDatabase,
  { name: host, entry = "src/worker.ts", env = {}, ...options }: WorkerHostOptions,
): Promise<WorkerHost> {
  const { hasHyperdrive = false, hasLeavingClient = false, front, inspects = false } = options;
  const { frontServices = {}, queues, dataset } = options;
  const { transport = hasHyperdrive ? "tcp" : "websocket" } = options;
  const branch = await faultBranch(database, { transport });
  const { relay } = branch;
  const assets = await Deno.makeTempDir({ prefix: "assets-" });
  await writeAssets(assets);
  const workerd = await startWorkerd({
    // With assets, Miniflare puts a router in front of the Worker, which passes on requests only, and no batch of a queue.
    ...(front === undefined ? { assets } : {}),
    inspects,
    entry,
    minify: true,
    bindings: {
      ...(hasHyperdrive ? ACCESS : branch.env),
      LOG_LEVEL: "error",
      ...env,
    },
    ...(hasHyperdrive ? { hyperdrives: { DATABASE_URL: branch.env["DATABASE_URL"]! } } : {}),
    durableObjects: { DATABASE_OBJECT: "DatabaseObject" },
    ...(hasLeavingClient ? { front: LEAVING_CLIENT } : front === undefined ? {} : { front }),
    ...(queues === undefined ? {} : { queues }),
    ...(dataset === undefined ? {} : { dataset }),
    frontServices,
  });
  const quiet = async () => {
    await Promise.all(relay.openConnections.map(({ closed }) => closed));
  };
  const check = async (fn: () => Promise<void>) => {
    await fn();
    await quiet();
    assertEquals(workerd.takeUncaught(), []);
  };
  let taken = 0;
  const request: SendRequest = (path, init) => fetch(new URL(path, workerd.url), withToken(init));
  const answers = new AnswerLog();
  return {
    name: host,
    workerd,
    branch,
    request,
    documented: answers.watch(request),
    takeMessages() {
      const before = taken;
      taken = relay.connections.reduce((sum, { traffic }) => sum + traffic.toServer.chunks, 0);
      return taken - before;
    },
    async backends() {
      const rows = await branch.asAdmin<{ pid: number }>(
        `select pid from pg_stat_activity
         where usename = 'user_service' and datname = current_database() order by pid`,
      );
      return rows.map(({ pid }) => pid);
    },
    quiet,
    async stop() {
      await workerd.stop();
      await Deno.remove(assets, { recursive: true });
      await branch[Symbol.asyncDispose]();
      await answers.assertDocumented();
    },
    test(name, fn) {
      Deno.test({ name: `${host}: ${name}`, timeout: TIMEOUT_MS, fn: () => check(fn) });
    },
    check,
  };
}
