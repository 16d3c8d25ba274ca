/** Graceful shutdown of the service's process, within a time limit. */
import { completesWithin, sleep } from "../db/time/timeout.ts";
import type { OpenDatabase } from "../library/deno/mod.ts";
import type { HttpListener } from "./listener.ts";
import type { RequestTracker } from "./request_tracker.ts";
import type { PostgresQueue } from "../queue/postgres_queue.ts";

/** The parts of the process that a shutdown ends. */
export interface DrainTargets {
  readonly requests: Pick<RequestTracker, "idle">;
  readonly queue: Pick<PostgresQueue, "stop">;
  readonly db: Pick<OpenDatabase, "close" | "backgroundIdle">;
  readonly server: Pick<HttpListener, "closeAfterResponses" | "close">;
  /** Makes the service answer new requests with 503. */
  refuseRequests(): void;
}

/**
 * How long requests are still served after the shutdown has begun: those that have reached the socket are read, and
 * clients that are refused later have another instance to go to, because a load balancer has noticed by then.
 */
const ACCEPT_MS = 100;

/** Reserved at the end of the time limit for cancelling unfinished requests and answering them. */
const CANCEL_MS = 750;

/** Reserved of `CANCEL_MS` for closing the sockets. */
const CLOSE_MS = 100;

/** Resolves when everything has ended, or after `timeoutMs`. Never rejects. */
export async function drain(
  { requests, queue, db, server, refuseRequests }: DrainTargets,
  { timeoutMs }: { timeoutMs: number },
): Promise<void> {
  const startedAt = performance.now();
  const leftMs = () => Math.max(0, timeoutMs - (performance.now() - startedAt));
  const cancelMs = Math.min(CANCEL_MS, timeoutMs / 2);
  server.closeAfterResponses();
  await sleep(Math.min(ACCEPT_MS, timeoutMs / 10));
  refuseRequests();
  // The queue stops before the pool closes: it needs a connection to return its events to the outbox.
  const stopped = queue.stop({ timeoutMs: Math.max(0, leftMs() - 2 * cancelMs) });
  const idle = Promise.all([requests.idle(), stopped]);
  await completesWithin(idle, leftMs() - cancelMs);
  // Only requests that did not finish in time still hold leases. Closing the pool cancels their statements.
  const closed = db.close({ timeoutMs: 0 });
  await completesWithin(idle, leftMs() - Math.min(CLOSE_MS, timeoutMs / 20));
  const served = server.close({ timeoutMs: leftMs() });
  await completesWithin(Promise.all([served, closed, db.backgroundIdle()]), leftMs());
}
