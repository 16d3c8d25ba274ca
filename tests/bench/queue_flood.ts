/** The cost of a flood of messages for requests of the same process, which share the pool, the thread and the server. */
import type { Database } from "../../src/db/mod.ts";
import type { Branch } from "../support/branch.ts";
import { newUserId } from "../../src/users/user_id.ts";
import { createUser, readUser } from "../../src/users/user_store.ts";
import { fillOutbox, type QueueShare, startQueue } from "./contenders/queue_ours.ts";

export interface FloodFigures {
  readonly aloneMs: number;
  readonly floodedMs: number;
  readonly eventsPerSecond: number;
}

/** Both cases take turns, so that other load of the machine meets both equally. */
const TURNS = 10;
const READS_PER_TURN = 200;
const EVENTS_PER_TURN = 20_000;

/**
 * The 99th percentile of a read, alone and while events are consumed with the concurrency that a service has. Throws if
 * the events end before the reads.
 */
export async function benchFlood(
  db: Database,
  branch: Branch,
  share: QueueShare,
): Promise<FloodFigures> {
  const id = newUserId();
  await createUser(db.session(), id, { email: `${id}@example.org`, name: "Ann" });
  await branch.asAdmin("delete from user_events");
  const read = () => readUser(db.session({ readOnly: true }), id);
  const alone: number[] = [];
  const flooded: number[] = [];
  let events = 0;
  let floodMs = 0;
  await timesOf(read);
  for (let turn = 0; turn < TURNS; turn++) {
    alone.push(...await timesOf(read));
    await fillOutbox(branch, EVENTS_PER_TURN);
    const startedAt = performance.now();
    const onConsumed = (count: number) => void (events += count);
    const queue = startQueue(db, { ...share, onConsumed });
    flooded.push(...await timesOf(read));
    await queue.stop({ timeoutMs: 10_000 });
    floodMs += performance.now() - startedAt;
    if ((await branch.asAdmin("select from user_events limit 1")).length === 0) {
      throw new Error("Cannot measure a flood as it was over before the reads: write more events");
    }
    await branch.asAdmin("truncate user_events");
  }
  return {
    aloneMs: p99(alone),
    floodedMs: p99(flooded),
    eventsPerSecond: events * 1_000 / floodMs,
  };
}

async function timesOf(work: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let count = 0; count < READS_PER_TURN; count++) {
    const startedAt = performance.now();
    await work();
    times.push(performance.now() - startedAt);
  }
  return times;
}

function p99(times: readonly number[]): number {
  return times.toSorted((one, other) => one - other)[Math.floor(times.length * 0.99)]!;
}
