/** The hosts that generated requests are sent to: the service on Deno behind its guards, the Worker, the Durable Object. */
import type { SendRequest } from "../http/requests.ts";
import { tokens, withToken } from "../support/access.ts";
import { TOKEN } from "../support/token.ts";
import type { Branch } from "../support/branch.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { startTarget } from "./target.ts";

export interface HostUsage {
  /** Of the service to its database. */
  readonly connections: number;
  /** On Deno that of the process; in workerd the heap of the isolate, since the process grows with any Worker's requests. */
  readonly memoryMiB: number;
  /** Open files, where they are the service's own. */
  readonly descriptors?: number;
}

export interface GeneratedHost extends AsyncDisposable {
  readonly name: string;
  readonly request: SendRequest;
  /** What must be in no answer and in no log. */
  readonly secrets: readonly string[];
  /** What must be in no answer. */
  readonly places: readonly string[];
  usage(): Promise<HostUsage>;
  /** How far the memory of a service that keeps nothing goes up and down. */
  readonly memoryNoiseMiB: number;
  /**
   * Resolves when the service has nothing more to do, and has closed its idle connections. Returns what it used then: the
   * queue's next poll opens a connection again.
   */
  rest(): Promise<HostUsage>;
  terminateBackends(): Promise<void>;
  /** Everything that it has logged. */
  log(): string;
  uncaught(): string[];
}

const ENV = {
  OPS_TOKEN: "a-token-of-24-characters",
  LOG_LEVEL: "warn",
  DATABASE_POOL_IDLE_TIMEOUT: "1",
};

/** What the Worker that miniflare runs in front logs to an inspector when the service has not read a request's body. */
const UNREAD_BODY = "Can't read from request stream after response has been sent.";

const BACKENDS = `select pid from pg_stat_activity
  where usename = 'user_service' and datname = current_database()`;

const REST_MS = 20_000;

export const GENERATED_HOSTS: Readonly<Record<string, () => Promise<GeneratedHost>>> = {
  deno: denoHost,
  worker: () => workerHost("Worker", {}),
  object: () => workerHost("Durable Object", { DATABASE_OBJECT_SHARDS: "2" }),
};

async function denoHost(): Promise<GeneratedHost> {
  const target = await startTarget({ env: ENV });
  let client = Deno.createHttpClient({});
  const usage = async () => ({
    connections: (await target.asAdmin(BACKENDS)).length,
    ...await target.usage(),
  });
  return {
    name: "Deno",
    memoryNoiseMiB: 32,
    secrets: secretsOf(target.env),
    places: placesOf(target.env),
    request: (path, init) => fetch(`${target.url}${path}`, { ...withToken(init), client }),
    usage,
    async rest() {
      // Its connections to the service are descriptors of the service too.
      client.close();
      client = Deno.createHttpClient({});
      let atRest = await usage();
      await pollUntil(async () => (atRest = await usage()).connections === 0, {
        deadlineMs: REST_MS,
        intervalMs: 100,
      });
      return atRest;
    },
    terminateBackends: () => terminateBackends(target),
    log: () => [...target.lines.out, ...target.lines.err].join("\n"),
    uncaught: () => target.lines.err.filter((line) => line.includes("unhandled error")),
    async [Symbol.asyncDispose]() {
      client.close();
      await target[Symbol.asyncDispose]();
    },
  };
}

async function workerHost(
  name: string,
  env: Readonly<Record<string, string>>,
): Promise<GeneratedHost> {
  const host = await startWorkerHost(await localDatabase(), {
    name,
    env: { ...ENV, ...env },
    inspects: true,
  });
  const { branch, workerd } = host;
  // workerd closes a connection whose request had a body that was not read, while the client sends the next request.
  const client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const usage = async () => ({
    connections: (await host.backends()).length,
    memoryMiB: await workerd.heapMiB(),
  });
  return {
    name,
    memoryNoiseMiB: 1,
    secrets: secretsOf({ ...branch.env, ...ENV }),
    places: placesOf(branch.env),
    // Not `new URL(path, …)`: it would take `//users` for a host.
    request: (path, init) => fetch(`${workerd.url.origin}${path}`, { ...withToken(init), client }),
    usage,
    async rest() {
      await host.quiet();
      return await usage();
    },
    terminateBackends: () => terminateBackends(branch),
    log: () => workerd.log,
    uncaught: () => workerd.takeUncaught().filter((line) => !line.includes(UNREAD_BODY)),
    async [Symbol.asyncDispose]() {
      client.close();
      await host.stop();
    },
  };
}

async function terminateBackends({ asAdmin }: Pick<Branch, "asAdmin">): Promise<void> {
  await asAdmin(BACKENDS.replace("pid", "pg_terminate_backend(pid)"));
}

function secretsOf(env: Readonly<Record<string, string>>): string[] {
  const hashes = tokens.map(({ sha256 }) => sha256);
  const { password } = new URL(env["DATABASE_URL"]!);
  return [decodeURIComponent(password), env["OPS_TOKEN"]!, TOKEN, ...hashes];
}

function placesOf(env: Readonly<Record<string, string>>): string[] {
  return [new URL(env["DATABASE_URL"]!).host, new URL(env["DATABASE_WS_PROXY"]!).host, Deno.cwd()];
}
