import { BOUNDS, type Contender } from "../contender.ts";
import { FakeConnection } from "../fake_connection.ts";
import { raceSignal } from "../race_signal.ts";

const GENERIC_POOL = "npm:generic-pool@3.9.0";

const { createPool }: {
  createPool(factory: {
    create(): Promise<FakeConnection>;
    destroy(connection: FakeConnection): Promise<void>;
  }, options: Record<string, number>): {
    acquire(): Promise<FakeConnection>;
    release(connection: FakeConnection): Promise<void>;
    drain(): Promise<void>;
    clear(): Promise<void>;
  };
} = await import(GENERIC_POOL);

export function genericPool(): Contender<FakeConnection> {
  const pool = createPool({
    create: () => Promise.resolve(new FakeConnection()),
    destroy: (connection) => connection.close(),
  }, {
    max: BOUNDS.connections,
    acquireTimeoutMillis: BOUNDS.acquireTimeoutMs,
    idleTimeoutMillis: BOUNDS.idleTimeoutMs,
    evictionRunIntervalMillis: 1_000,
    maxWaitingClients: BOUNDS.maxWaiters,
  });
  const release = (connection: FakeConnection) => void pool.release(connection);
  return {
    name: "generic-pool 3.9.0",
    givesUpBy: "nothing: its caller stops waiting, and releases a connection that comes too late",
    acquire: () => pool.acquire(),
    acquireUnless: (signal) => raceSignal(pool.acquire(), signal, release),
    release,
    close: () => pool.drain().then(() => pool.clear()),
  };
}
