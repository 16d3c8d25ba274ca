import { BOUNDS, type Contender } from "../contender.ts";
import { FakeConnection } from "../fake_connection.ts";
import { raceSignal } from "../race_signal.ts";

// Not an import that Deno can see before it runs: `main.ts` says why. Likewise in its neighbours.
const PG_POOL = "npm:pg-pool@3.14.0";

const { default: Pool }: {
  default: new (options: Record<string, unknown>) => {
    connect(): Promise<FakeConnection>;
    end(): Promise<void>;
  };
} = await import(PG_POOL);

export function pgPool(): Contender<FakeConnection> {
  const pool = new Pool({
    Client: FakeConnection,
    max: BOUNDS.connections,
    connectionTimeoutMillis: BOUNDS.acquireTimeoutMs,
    idleTimeoutMillis: BOUNDS.idleTimeoutMs,
    maxLifetimeSeconds: BOUNDS.recycleMs / 1_000,
  });
  const release = (connection: FakeConnection) => connection.release();
  return {
    name: "pg-pool 3.14.0",
    givesUpBy: "nothing: its caller stops waiting, and releases a connection that comes too late",
    acquire: () => pool.connect(),
    acquireUnless: (signal) => raceSignal(pool.connect(), signal, release),
    release,
    close: () => pool.end(),
  };
}
