/** `stop` is bounded by itself, whatever it waits for. */
import { assert, assertEquals } from "@std/assert";
import type { Database } from "../../src/db/mod.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { PostgresQueue, type PostgresQueueOptions } from "../../src/queue/postgres_queue.ts";
import { faultBranch } from "../support/fault_branch.ts";
import { freeze } from "../support/fault_relay.ts";
import { localDatabase } from "../support/local_database.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { countsOf, writeEvents } from "./events.ts";

const database = await localDatabase();
const NEVER = new Promise<never>(() => {});
/** No timeout but the queue's own ends an exchange. */
const NO_TIMEOUTS = {
  DATABASE_CONNECT_TIMEOUT: "3600",
  DATABASE_LOCK_TIMEOUT: "3600",
  DATABASE_STATEMENT_TIMEOUT: "3600",
  DATABASE_TRANSACTION_TIMEOUT: "3600",
  DATABASE_POOL_TIMEOUT: "3600",
};

/** Lets all promises settle that wait for no timer and no socket. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

type Transactions = Pick<Database, "transaction">;

interface Call {
  readonly signal: AbortSignal | undefined;
}

/** Passes the first calls on; the later ones never settle. */
function silentAfter(calls: number, db?: Database): { db: Transactions; calls: Call[] } {
  const seen: Call[] = [];
  const transaction = ((work, options) => {
    seen.push({ signal: options?.signal });
    return seen.length > calls ? NEVER : db!.transaction(work, options);
  }) as Database["transaction"];
  return { db: { transaction }, calls: seen };
}

function queueOf(
  options: Pick<PostgresQueueOptions, "db" | "consume"> & Partial<PostgresQueueOptions>,
): PostgresQueue {
  return new PostgresQueue({ concurrency: 1, pollMs: 1_000, onFailure: () => {}, ...options });
}

/** Stops the queue with a timeout of five seconds, and gives the second in which that was done. */
async function secondOfStop(queue: PostgresQueue, clock: ManualClock): Promise<number> {
  let isStopped = false;
  const stopped = queue.stop({ timeoutMs: 5_000 }).then(() => isStopped = true);
  for (let second = 0; second < 60; second++) {
    await settle();
    if (isStopped) return second;
    await clock.advance(1_000);
  }
  await stopped;
  return 60;
}

Deno.test("stop() ends within its timeout and a second if the exchange under way is never answered", async () => {
  const clock = new ManualClock();
  const { db, calls } = silentAfter(0);
  const queue = queueOf({ db, clock, consume: () => Promise.resolve() });
  await settle();
  assertEquals(calls.length, 1);
  assertEquals(await secondOfStop(queue, clock), 6);
  assertEquals(calls.map(({ signal }) => signal?.aborted), [true]);
  assertEquals(clock.pending, 0);
});

Deno.test("stop() ends within its timeout and a second if the consumer ignores its signal", async () => {
  await using branch = await database.connect();
  await writeEvents(branch, { users: 1, versions: 1 });
  const clock = new ManualClock();
  const begun = Promise.withResolvers<AbortSignal>();
  const queue = queueOf({
    db: branch.open(),
    clock,
    consume(_, { signal } = {}) {
      begun.resolve(signal!);
      return NEVER;
    },
  });
  const signal = await begun.promise;
  assertEquals(await secondOfStop(queue, clock), 6);
  assert(signal.aborted);
  await branch.asAdmin("delete from user_events");
});

Deno.test("stop() ends within its timeout and a second if the events cannot be returned", async () => {
  await using branch = await database.connect();
  await writeEvents(branch, { users: 1, versions: 1 });
  const clock = new ManualClock();
  const { db, calls } = silentAfter(1, branch.open());
  const begun = Promise.withResolvers<void>();
  const queue = queueOf({
    db,
    clock,
    async consume(_, { signal } = {}) {
      begun.resolve();
      await new Promise((resolve) => signal!.addEventListener("abort", resolve, { once: true }));
    },
  });
  await begun.promise;
  assertEquals(await secondOfStop(queue, clock), 6);
  // The event was to be returned after the work was aborted, by a call that has a bound, too.
  assertEquals(calls.map(({ signal }) => signal?.aborted), [true, true]);
  await branch.asAdmin("delete from user_events");
});

Deno.test("stop() does not wait for its timeout when the work is done", async () => {
  const clock = new ManualClock();
  const db = {
    transaction: (() => Promise.resolve([[]])) as unknown as Database["transaction"],
  };
  const queue = queueOf({ db, clock, consume: () => Promise.resolve() });
  await settle();
  assertEquals(await secondOfStop(queue, clock), 0);
  assertEquals(clock.pending, 0);
});

Deno.test("stop() waits for running work until its timeout, and does not abort it before", async () => {
  await using branch = await database.connect();
  await writeEvents(branch, { users: 1, versions: 1 });
  const clock = new ManualClock();
  const begun = Promise.withResolvers<AbortSignal>();
  const finish = Promise.withResolvers<void>();
  const queue = queueOf({
    db: branch.open(),
    clock,
    async consume([delivery], { signal } = {}) {
      begun.resolve(signal!);
      await finish.promise;
      delivery!.ack();
    },
  });
  const signal = await begun.promise;
  const stopped = queue.stop({ timeoutMs: 5_000 });
  await clock.advance(4_999);
  assertEquals(signal.aborted, false);
  finish.resolve();
  await stopped;
  assertEquals((await countsOf(branch)).waiting, 0);
});

Deno.test({
  name:
    "stop() gives up an exchange with a server that has fallen silent, and sends its outcomes over another connection",
  timeout: 20_000,
  async fn() {
    await using branch = await faultBranch(database);
    await writeEvents(branch, { users: 1, versions: 1 });
    const failures: unknown[] = [];
    const finish = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const queue = queueOf({
      db: branch.open(NO_TIMEOUTS),
      onFailure: (error) => failures.push(error),
      async consume([delivery]) {
        begun.resolve();
        await finish.promise;
        delivery!.ack();
      },
    });
    await begun.promise;
    const armed = branch.relay.when({ direction: "toServer", kind: "Bind" }, freeze());
    finish.resolve();
    await armed.struck();
    await queue.stop({ timeoutMs: 0 });
    const isEmpty = async () => (await countsOf(branch)).waiting === 0;
    assert(await pollUntil(isEmpty, { deadlineMs: 5_000, intervalMs: 10 }));
    assertEquals(failures, []);
  },
});
