import type { Lease } from "../../../src/db/pool/lease.ts";
import { Pool } from "../../../src/db/pool/pool.ts";
import { OwnerScope } from "../../../src/db/pool/owner_scope.ts";
import { BOUNDS, type Contender } from "../contender.ts";
import { FakeConnection } from "../fake_connection.ts";

export function ours(): Contender<Lease> {
  const scope = OwnerScope.lasting();
  const pool = new Pool({
    connect: () => Promise.resolve(new FakeConnection()),
    size: BOUNDS.connections,
    maxOverflow: 0,
    acquireTimeoutMs: BOUNDS.acquireTimeoutMs,
    connectTimeoutMs: 15_000,
    recycleMs: BOUNDS.recycleMs,
    idleTimeoutMs: BOUNDS.idleTimeoutMs,
    maxWaiters: BOUNDS.maxWaiters,
    shedTargetMs: 500,
  });
  return {
    name: "user-service",
    givesUpBy: "its signal option; the waiter leaves the queue",
    acquire: () => pool.acquire({ scope }),
    acquireUnless: (signal) => pool.acquire({ scope, signal }),
    release: (lease) => void lease.release(),
    close: () => pool.close({ timeoutMs: 1_000 }),
  };
}
