/** Ways in which a database can be gone, and come back. */
import { startPostgres } from "../../src/dev/postgres/server.ts";
import { startRelay } from "../../src/dev/relay/relay.ts";
import { makeScratch } from "../dev/scratch.ts";
import type { Env } from "../support/branch.ts";
import { type FaultRelay, freeze, hold, refuse, startFaultRelay } from "../support/fault_relay.ts";

/** A database that goes when it is told to. */
export interface Gone extends AsyncDisposable {
  readonly env: Env;
  /** A way to it that has no faults of its own. */
  readonly plainEnv: Env;
  go(): Promise<void>;
  come(): Promise<void>;
}

export interface Way {
  readonly name: string;
  /** Settings of the pool that meets it. */
  readonly settings: Env;
  start(): Promise<Gone>;
}

/** A frozen peer is told from a slow one by the connect timeout alone. */
const IMPATIENT = { DATABASE_CONNECT_TIMEOUT: "1" };

export const WAYS: readonly Way[] = [
  { name: "server stopped", settings: {}, start: stoppedServer },
  { name: "relay refuses", settings: {}, start: () => behindFaults(refuseAll) },
  {
    name: "relay frozen before the upgrade",
    settings: IMPATIENT,
    start: () => behindFaults(freezeBeforeUpgrade),
  },
  {
    name: "relay frozen after the upgrade",
    settings: IMPATIENT,
    start: () => behindFaults(freezeAfterUpgrade),
  },
];

function refuseAll(relay: FaultRelay): () => void {
  const armed = relay.when({ at: "dial", times: Infinity }, refuse(503));
  for (const connection of relay.openConnections) connection.cut();
  return () => armed.clear();
}

function freezeBeforeUpgrade(relay: FaultRelay): () => void {
  const armed = relay.when({ at: "dial", times: Infinity }, hold());
  freezeAll(relay);
  return () => {
    armed.clear();
    armed.release();
    thawAll(relay);
  };
}

function freezeAfterUpgrade(relay: FaultRelay): () => void {
  const armed = relay.when({ at: "upgrade", times: Infinity }, freeze());
  freezeAll(relay);
  return () => {
    armed.clear();
    thawAll(relay);
  };
}

function freezeAll(relay: FaultRelay): void {
  for (const connection of relay.openConnections) connection.freeze();
}

function thawAll(relay: FaultRelay): void {
  for (const connection of relay.connections) connection.thaw();
}

async function stoppedServer(): Promise<Gone> {
  const stack = new AsyncDisposableStack();
  const scratch = stack.use(await makeScratch());
  let postgres = await startPostgres({ directory: scratch.path });
  stack.defer(() => postgres.stop());
  const targets = [{ hostname: "127.0.0.1", port: postgres.port }];
  const relay = stack.use(await startRelay({ targets }));
  const env = envOf(postgres.url(), relay.url);
  return {
    env,
    plainEnv: env,
    go: () => postgres.stop(),
    async come() {
      postgres = await startPostgres({ directory: scratch.path });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** `strike` makes the relay's database go, and gives the way back. */
async function behindFaults(strike: (relay: FaultRelay) => () => void): Promise<Gone> {
  const stack = new AsyncDisposableStack();
  const postgres = stack.use(await startPostgres({ ephemeral: true }));
  const targets = [{ hostname: "127.0.0.1", port: postgres.port }];
  const faulty = stack.use(await startFaultRelay({ targets }));
  const plain = stack.use(await startRelay({ targets }));
  let undo = () => {};
  stack.defer(() => undo());
  return {
    env: envOf(postgres.url(), faulty.url),
    plainEnv: envOf(postgres.url(), plain.url),
    go() {
      undo = strike(faulty);
      return Promise.resolve();
    },
    come() {
      undo();
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function envOf(url: string, relay: string): Env {
  return { DATABASE_URL: url, DATABASE_WS_PROXY: relay, DATABASE_PIPELINE_CONNECT: "on" };
}
