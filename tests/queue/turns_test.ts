/** When a worker polls, and from which user on. */
import { assertEquals } from "@std/assert";
import { PostgresQueue } from "../../src/queue/postgres_queue.ts";
import { FIRST_USER } from "../../src/queue/outbox.ts";
import type { Consume } from "../../src/queue/transport.ts";
import { localDatabase } from "../support/local_database.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { writeEvents } from "./events.ts";
import { FakeOutbox, type FakeOutboxOptions } from "./fake_outbox.ts";

const [ONE, TWO, THREE, FOUR] = [1, 2, 3, 4].map((number) =>
  `0000000${number}-0000-7000-8000-000000000000`
) as [string, string, string, string];
const PRUNE_INTERVAL_MS = 60_000;
const PRUNED_AT_ONCE = 1_000;

const ackAll: Consume = (deliveries) => {
  deliveries.forEach((delivery) => delivery.ack());
  return Promise.resolve();
};

/** A queue of one worker over a fake outbox, on a clock that the test moves. */
async function queueOver(options: FakeOutboxOptions, { pollMs = 1_000 } = {}) {
  const clock = new ManualClock();
  const outbox = new FakeOutbox(options);
  const queue = new PostgresQueue({
    db: outbox.db,
    consume: ackAll,
    concurrency: 1,
    batchSize: 2,
    pollMs,
    clock,
    random: () => 1,
    onFailure: () => {},
  });
  await settle();
  return { clock, outbox, queue };
}

/** Lets all promises settle that wait for no timer and no socket. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("after a full batch the next one begins above its last user, and after any other one with the first user", async () => {
  const { outbox, queue } = await queueOver({ users: [[TWO, ONE], [THREE, FOUR], [ONE], [TWO]] });
  await queue.stop({ timeoutMs: 0 });
  const afters = outbox.exchanges.map(({ after }) => after);
  assertEquals(afters.slice(0, 5), [FIRST_USER, TWO, FOUR, FIRST_USER, FIRST_USER]);
});

Deno.test("if no event is due above the last user of a full batch, the queue begins with the first user at once", async () => {
  const { outbox, queue, clock } = await queueOver({ users: [[ONE, TWO], [], [ONE, THREE], []] });
  const afters = outbox.exchanges.map(({ after }) => after);
  assertEquals(afters.slice(0, 5), [FIRST_USER, TWO, FIRST_USER, THREE, FIRST_USER]);
  // It is idle now.
  assertEquals([clock.now(), clock.pending], [0, 1]);
  await queue.stop({ timeoutMs: 0 });
});

Deno.test("a worker that finds no event above the last user looks from the first one at once, while another is busy", async () => {
  const clock = new ManualClock();
  const outbox = new FakeOutbox({ users: [[ONE, TWO], [], [THREE]] });
  const finish = Promise.withResolvers<void>();
  const batches: number[] = [];
  const queue = new PostgresQueue({
    db: outbox.db,
    consume(deliveries) {
      batches.push(deliveries.length);
      return finish.promise;
    },
    concurrency: 2,
    batchSize: 2,
    pollMs: 1_000,
    clock,
    onFailure: () => {},
  });
  await settle();
  assertEquals(batches, [2, 1]);
  finish.resolve();
  await queue.stop({ timeoutMs: 0 });
});

Deno.test("users whose events are always due do not keep the others waiting", async () => {
  const database = await localDatabase();
  await using branch = await database.connect();
  const users = (await writeEvents(branch, { users: 7, versions: 1 })).sort();
  const turns: number[] = [];
  const done = Promise.withResolvers<void>();
  const queue = new PostgresQueue({
    db: branch.open(),
    concurrency: 1,
    batchSize: 3,
    pollMs: 1_000,
    onFailure: () => {},
    consume(deliveries) {
      const indexes = deliveries.map(({ body }) =>
        users.indexOf((body as { userId: string }).userId)
      );
      turns.push(...indexes.sort());
      for (const delivery of deliveries) delivery.retry({ delayMs: 0 });
      if (turns.length >= 14) done.resolve();
      return Promise.resolve();
    },
  });
  await done.promise;
  await queue.stop({ timeoutMs: 10_000 });
  assertEquals(turns.slice(0, 10), [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]);
});

/** The pauses until the next polls of an idle queue. */
async function pausesOf(
  { clock, outbox }: Awaited<ReturnType<typeof queueOver>>,
  count: number,
): Promise<number[]> {
  const pauses: number[] = [];
  while (pauses.length < count) {
    const [before, startMs] = [outbox.exchanges.length, clock.now()];
    while (outbox.exchanges.length === before) {
      await clock.advance(50);
      await settle();
    }
    pauses.push(clock.now() - startMs);
  }
  return pauses;
}

Deno.test("the pauses of an idle queue grow, and are short again after an event was found", async () => {
  const running = await queueOver({ users: [[], [], [], [ONE]] });
  // The third poll finds the event, and another exchange follows at once.
  assertEquals(await pausesOf(running, 6), [100, 200, 400, 100, 200, 400]);
  await running.queue.stop({ timeoutMs: 0 });
});

Deno.test("the pauses of an idle queue are short again after it was woken, and it still has one timer", async () => {
  const running = await queueOver({});
  const { queue, clock, outbox } = running;
  assertEquals(await pausesOf(running, 4), [100, 200, 400, 800]);
  const polls = outbox.exchanges.length;
  for (let times = 1; times <= 3; times++) {
    queue.wake();
    await settle();
    assertEquals([outbox.exchanges.length - polls, clock.pending], [times, 1]);
  }
  assertEquals(await pausesOf(running, 4), [100, 200, 400, 800]);
  await queue.stop({ timeoutMs: 0 });
});

Deno.test("a wake while the only worker is busy is not lost", async () => {
  const clock = new ManualClock();
  const outbox = new FakeOutbox({ users: [[ONE]] });
  const finish = Promise.withResolvers<void>();
  const queue = new PostgresQueue({
    db: outbox.db,
    consume: async (deliveries) => {
      await finish.promise;
      await ackAll(deliveries);
    },
    concurrency: 1,
    pollMs: 1_000,
    clock,
    onFailure: () => {},
  });
  await settle();
  queue.wake();
  queue.wake();
  finish.resolve();
  await settle();
  // The first one found the event; the second one follows the batch, the third one the wakes, without a pause.
  assertEquals([outbox.exchanges.length, clock.now(), clock.pending], [3, 0, 1]);
  await queue.stop({ timeoutMs: 0 });
});

Deno.test("old message keys are deleted once a minute, and with each exchange while there are more than one deletes", async () => {
  const full = PRUNED_AT_ONCE;
  const { clock, outbox, queue } = await queueOver(
    { pruned: [full, full, full - 1, 0] },
    { pollMs: 3_600_000 },
  );
  const exchange = async (): Promise<boolean> => {
    queue.wake();
    await settle();
    return outbox.exchanges.at(-1)!.prunes;
  };
  assertEquals(await exchange(), false);
  await clock.advance(PRUNE_INTERVAL_MS - 1);
  assertEquals(await exchange(), false);
  await clock.advance(1);
  assertEquals([await exchange(), await exchange()], [true, true]);
  assertEquals([await exchange(), await exchange()], [true, false]);
  await clock.advance(PRUNE_INTERVAL_MS - 1);
  assertEquals(await exchange(), false);
  await clock.advance(1);
  assertEquals([await exchange(), await exchange()], [true, false]);
  await queue.stop({ timeoutMs: 0 });
});

Deno.test("an exchange without outcomes is one statement, and stopping an idle queue is none", async () => {
  const { outbox, queue } = await queueOver({ users: [[ONE]] });
  await queue.stop({ timeoutMs: 0 });
  // The second one acks the event.
  assertEquals(outbox.exchanges.map(({ statements }) => statements), [1, 2]);
});
