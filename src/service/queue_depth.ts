import type { TransactionRunner } from "../db/mod.ts";
import { type QueueStatus, queueStatus } from "../queue/status.ts";
import { EVERY_TENANT } from "../tenant.ts";

/** Longest wait of `/metrics` for the depth of the queue. */
const TIMEOUT_MS = 1_000;

/** The state of the outbox. Bounded in time, so that `/metrics` answers even while the pool is full. */
export function queueDepth(db: TransactionRunner): Promise<QueueStatus> {
  return db.transaction(queueStatus, {
    readOnly: true,
    locals: EVERY_TENANT,
    attempts: 1,
    label: "/metrics",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
}
