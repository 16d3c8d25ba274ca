/** The end of a process that serves, in order and in time. */
import type { Database } from "../db/mod.ts";
import { completesWithin } from "../db/time/timeout.ts";
import type { BackgroundTasks } from "./background_tasks.ts";
import type { RequestTracker } from "./request_tracker.ts";
import type { PostgresQueue } from "../queue/postgres_queue.ts";

/** What is under way in a process, each to be ended in its turn. */
export interface UnderWay {
  readonly requests: Pick<RequestTracker, "idle">;
  readonly queue: Pick<PostgresQueue, "stop">;
  readonly db: Pick<Database, "close">;
  readonly server: Pick<Deno.HttpServer, "shutdown">;
  readonly tasks: Pick<BackgroundTasks, "drain">;
  /** From then on requests are answered with 503. */
  refuseRequests(): void;
}

/**
 * For how long requests are still taken once the end has been asked for: a server that stops listening drops those
 * that have reached it and that it has not read yet.
 */
const LAST_ARRIVALS_MS = 100;

/** How much of the time is kept for cutting what did not finish, and for answering it. */
const CUTTING_MS = 750;

/** And of that, for closing the sockets. */
const CLOSING_MS = 100;

const NEVER = new Promise<never>(() => {});

/** Resolves when all is over, or after `timeoutMs`. Never rejects. */
export async function drain(
  { requests, queue, db, server, tasks, refuseRequests }: UnderWay,
  { timeoutMs }: { timeoutMs: number },
): Promise<void> {
  const startedAt = performance.now();
  const leftMs = () => Math.max(0, timeoutMs - (performance.now() - startedAt));
  const cuttingMs = Math.min(CUTTING_MS, timeoutMs / 4);
  await completesWithin(NEVER, Math.min(LAST_ARRIVALS_MS, timeoutMs / 10));
  refuseRequests();
  // Messages first: they go back to the others over a connection.
  const stopped = queue.stop({ timeoutMs: Math.max(0, leftMs() - 2 * cuttingMs) });
  const idle = Promise.all([requests.idle(), stopped]);
  // A server that is shut down breaks off the bodies that it is still receiving: not before the requests are over.
  await completesWithin(idle, leftMs() - cuttingMs);
  // No lease is left, unless a request is to be cut.
  const closed = db.close({ timeoutMs: 0 });
  await completesWithin(idle, leftMs() - Math.min(CLOSING_MS, timeoutMs / 20));
  const served = server.shutdown();
  await completesWithin(Promise.all([served, closed, tasks.drain()]), leftMs());
}
