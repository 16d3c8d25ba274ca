/** Where the chaos app runs. */
import { OwnerScope } from "../../../src/db/mod.ts";
import { BackgroundTasks } from "../../../src/library/deno/background_tasks.ts";
import { denoSockets } from "../../../src/library/deno/sockets.ts";
import type { Env } from "../../support/branch.ts";
import { startWorkerd } from "../../support/workerd.ts";
import { ChaosApp, type Counters } from "./app.ts";

/** `deno` reaches its database through a WebSocket, `tcp` is Deno over TCP. */
export const HOSTS = ["deno", "tcp", "worker", "object"] as const;

export type HostName = typeof HOSTS[number];

export interface Load {
  readonly clients: number;
  /** The app does them one after the other. */
  readonly unitsPerRequest: number;
}

/**
 * A Worker's request opens connections of its own, each of which costs a PostgreSQL on loopback some 25 ms, and gives its
 * idle connection up to any request that waits for a permit. With one unit in a request, or with more clients than
 * permits, a run would test little but logins.
 */
export const LOADS: Readonly<Record<HostName, Load>> = {
  deno: { clients: 24, unitsPerRequest: 1 },
  tcp: { clients: 24, unitsPerRequest: 1 },
  worker: { clients: 14, unitsPerRequest: 12 },
  object: { clients: 24, unitsPerRequest: 1 },
};

export interface Host extends AsyncDisposable {
  readonly url: URL;
  counters(): Promise<Counters>;
  /** To be called after the last request. Resolves once the host keeps no connection on purpose. */
  rest(): Promise<void>;
}

export function startHost(name: HostName, env: Env): Promise<Host> {
  return name === "deno" || name === "tcp"
    ? startDeno(env)
    : startWorker(env, { isObject: name === "object" });
}

function startDeno(env: Env): Promise<Host> {
  const app = new ChaosApp(env, denoSockets);
  const scope = OwnerScope.lasting();
  const background = new BackgroundTasks((error) => {
    throw error;
  });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => app.fetch(request, { scope, waitUntil: background.waitUntil }),
  );
  const url = new URL(`http://127.0.0.1:${server.addr.port}`);
  return Promise.resolve({
    url,
    counters: () => countersAt(url),
    async rest() {
      await background.drain();
      await app.close({ timeoutMs: 5_000 });
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  });
}

async function startWorker(env: Env, { isObject }: { isObject: boolean }): Promise<Host> {
  const workerd = await startWorkerd({
    entry: "tests/endurance/chaos/worker.ts",
    bindings: { ...env, CHAOS_IN_OBJECT: isObject ? "yes" : "no" },
    durableObjects: { CHAOS_OBJECT: "ChaosObject" },
  });
  return {
    url: workerd.url,
    counters: () => countersAt(workerd.url),
    // Connections of requests have ended with them; those of an object end by their idle timeout.
    rest: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => workerd.stop(),
  };
}

async function countersAt(url: URL): Promise<Counters> {
  const response = await fetch(new URL("/counters", url), { signal: AbortSignal.timeout(10_000) });
  return await response.json();
}
