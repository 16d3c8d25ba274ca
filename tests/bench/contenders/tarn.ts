import { BOUNDS, type Contender } from "../contender.ts";
import { FakeConnection } from "../fake_connection.ts";

const TARN = "npm:tarn@3.1.2";

interface PendingAcquire {
  readonly promise: Promise<FakeConnection>;
  abort(): void;
}

const { Pool }: {
  Pool: new (options: Record<string, unknown>) => {
    acquire(): PendingAcquire;
    release(connection: FakeConnection): boolean;
    destroy(): Promise<unknown>;
  };
} = await import(TARN);

export function tarn(): Contender<FakeConnection> {
  const pool = new Pool({
    create: () => Promise.resolve(new FakeConnection()),
    destroy: (connection: FakeConnection) => connection.close(),
    min: 0,
    max: BOUNDS.connections,
    acquireTimeoutMillis: BOUNDS.acquireTimeoutMs,
    idleTimeoutMillis: BOUNDS.idleTimeoutMs,
  });
  return {
    name: "tarn 3.1.2",
    givesUpBy: "its pending acquire's abort(); the waiter leaves the queue",
    acquire: () => pool.acquire().promise,
    acquireUnless(signal) {
      const asked = pool.acquire();
      const abort = () => asked.abort();
      signal.addEventListener("abort", abort);
      return asked.promise.then((connection) => {
        signal.removeEventListener("abort", abort);
        return connection;
      });
    },
    release: (connection) => void pool.release(connection),
    close: () => pool.destroy(),
  };
}
