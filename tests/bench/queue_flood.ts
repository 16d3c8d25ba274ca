/** What a flood of messages costs the requests of the same process: they share its pool, its thread and its server. */
import type { Database } from "../../src/db/mod.ts";
import type { Branch } from "../support/branch.ts";
import { newUserId } from "../../src/users/user_id.ts";
import { createUser, readUser } from "../../src/users/user_store.ts";
import { queueOurs } from "./contenders/queue_ours.ts";

export interface FloodFigures {
  readonly aloneMs: number;
  readonly floodedMs: number;
}

const READS = 1_000;

/** The 99th percentile of a read, alone and while so many events are being consumed. */
export async function benchFlood(
  db: Database,
  branch: Branch,
  { events }: { events: number },
): Promise<FloodFigures> {
  const id = newUserId();
  await createUser(db.session(), id, { email: `${id}@example.org`, name: "Ann" });
  await branch.asAdmin("delete from user_events");
  const read = () => readUser(db.session({ readOnly: true }), id);
  await p99(read);
  const aloneMs = await p99(read);
  const flood = queueOurs(db, branch);
  await flood.fill(events);
  const drained = flood.drain();
  const floodedMs = await p99(read);
  await drained;
  return { aloneMs, floodedMs };
}

async function p99(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let count = 0; count < READS; count++) {
    const startedAt = performance.now();
    await work();
    times.push(performance.now() - startedAt);
  }
  return times.sort((one, other) => one - other)[Math.floor(READS * 0.99)]!;
}
