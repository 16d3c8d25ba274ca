/** The transport on Workers without a Worker: a producer and batches in the form of Cloudflare Queues. */
import { assertEquals, assertRejects } from "@std/assert";
import type { Database } from "../../src/db/mod.ts";
import {
  consumeBatch,
  dispatchEvents,
  type QueueProducer,
  sweepEvents,
} from "../../src/queue/cloudflare_queue.ts";
import type { Branch } from "../support/branch.ts";
import { localDatabase } from "../support/local_database.ts";
import { countsOf, writeEvents } from "./events.ts";
import { FakeOutbox } from "./fake_outbox.ts";

const database = await localDatabase();

function test(name: string, fn: (branch: Branch, db: Database) => Promise<void>): void {
  Deno.test(name, async () => {
    await using branch = await database.connect();
    try {
      await fn(branch, branch.open());
    } finally {
      await branch.asAdmin("delete from user_events");
    }
  });
}

function producer(): QueueProducer & { readonly sizes: number[] } {
  const sizes: number[] = [];
  return {
    sizes,
    sendBatch: (messages) => Promise.resolve(void sizes.push([...messages].length)),
  };
}

for (
  const [events, expected] of [
    [0, [] as number[]],
    [1, [1]],
    [99, [99]],
    [100, [100]],
    [200, [100, 100]],
    [201, [100, 100, 1]],
  ] as const
) {
  test(
    `a sweep sends ${events} events in batches of at most 100, and leaves none`,
    async (branch, db) => {
      if (events > 0) await writeEvents(branch, { users: 1, versions: events });
      const queue = producer();
      await sweepEvents(db, queue);
      assertEquals(queue.sizes, [...expected]);
      assertEquals((await countsOf(branch)).waiting, 0);
    },
  );
}

Deno.test("a sweep does not ask for more events after a batch that was not full", async () => {
  const outbox = new FakeOutbox({ users: [[crypto.randomUUID()]] });
  await sweepEvents(outbox.db, producer());
  // One takes the event, and one deletes it.
  assertEquals(outbox.exchanges.length, 2);
});

Deno.test("a sweep ends after 10,000 events", async () => {
  const users = Array.from({ length: 100 }, () => crypto.randomUUID());
  // Every exchange returns a full batch; every second one only deletes.
  const outbox = new FakeOutbox({ users: Array(1_000).fill(users) });
  const queue = producer();
  await sweepEvents(outbox.db, queue);
  assertEquals(queue.sizes, Array(100).fill(100));
});

test("a dispatch sends at most 100 events, and returns their number", async (branch, db) => {
  await writeEvents(branch, { users: 1, versions: 101 });
  const queue = producer();
  const numbers = [];
  for (let call = 0; call < 3; call++) numbers.push(await dispatchEvents(db, queue));
  assertEquals([numbers, queue.sizes], [[100, 1, 0], [100, 1]]);
});

test(
  "events that could not be sent stay in the outbox, leased for a minute",
  async (branch, db) => {
    await writeEvents(branch, { users: 1, versions: 1 });
    const failing = { sendBatch: () => Promise.reject(new Error("queue unavailable")) };
    await assertRejects(() => dispatchEvents(db, failing), Error, "queue unavailable");
    const rows = await branch.asAdmin(`
    select due_at > now() + interval '50 s' and due_at <= now() + interval '60 s' as leased from user_events`);
    assertEquals(rows, [{ leased: true }]);
  },
);

/** Gives one message to `consumeBatch`, and tells what became of it. */
async function consumed(queue: string, delayMs?: number): Promise<string[]> {
  const calls: string[] = [];
  const message = {
    id: "message",
    body: { n: 1 },
    attempts: 7,
    ack: () => void calls.push("ack"),
    retry: ({ delaySeconds }: { delaySeconds: number }) => void calls.push(`retry ${delaySeconds}`),
  };
  await consumeBatch({ queue, messages: [message] }, {
    consume([delivery]) {
      calls.push(`consume ${delivery!.id} ${delivery!.attempts}`);
      if (delayMs === undefined) delivery!.ack();
      else delivery!.retry({ delayMs });
      return Promise.resolve();
    },
    deadLetter(delivery, error) {
      calls.push(`dead ${delivery.id}: ${error}`);
      return Promise.resolve();
    },
  });
  return calls;
}

Deno.test("a message is acked and retried as the consumer says, with delays rounded up to whole seconds", async () => {
  assertEquals(await consumed("user-events"), ["consume message 7", "ack"]);
  for (const [delayMs, seconds] of [[0, 0], [1, 1], [1_000, 1], [1_001, 2]] as const) {
    assertEquals(await consumed("user-events", delayMs), ["consume message 7", `retry ${seconds}`]);
  }
});

Deno.test("only the messages of a queue whose name ends in -dead become dead letters unseen", async () => {
  for (const queue of ["user-events-dead", "user-events-staging-dead"]) {
    assertEquals(await consumed(queue), [
      "dead message: Cannot deliver the message as Cloudflare Queues used up its retries",
    ]);
  }
  for (const queue of ["user-events", "user-dead-events", "undead", "user-events-dead-letters"]) {
    assertEquals(await consumed(queue), ["consume message 7", "ack"]);
  }
});
