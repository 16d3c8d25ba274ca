import { assert, assertEquals } from "@std/assert";
import { type Database, sql } from "../../src/db/mod.ts";
import { Consumer } from "../../src/queue/consumer.ts";
import { PostgresQueue, type PostgresQueueOptions } from "../../src/queue/postgres_queue.ts";
import type { Consume, Delivery } from "../../src/queue/transport.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import { parseUserEvent } from "../../src/users/user_event.ts";
import { newUserId } from "../../src/users/user_id.ts";
import { changeUser, createUser, deleteUser } from "../../src/users/user_store.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import type { Branch } from "../support/branch.ts";
import { localDatabase } from "../support/local_database.ts";
import { flushPromises, ManualClock } from "../support/manual_clock.ts";
import { countsOf, writeEvents } from "./events.ts";

function queueOf(db: Database, options: Partial<PostgresQueueOptions> = {}): PostgresQueue {
  const { consume } = new Consumer({
    db,
    name: "activity",
    parse: parseUserEvent,
    handler: (events) => [recordActivity(events)],
    onFailure: () => {},
  });
  return new PostgresQueue({
    db,
    consume,
    concurrency: 4,
    pollMs: 50,
    onFailure: () => {},
    ...options,
  });
}

/** Calls `consume` with each message. */
function each(consume: (delivery: Delivery) => void): Consume {
  return (deliveries) => {
    deliveries.forEach(consume);
    return Promise.resolve();
  };
}

async function untilOutboxIsEmpty(branch: Branch): Promise<void> {
  const isDone = async () => (await countsOf(branch)).waiting === 0;
  assert(
    await pollUntil(isDone, { deadlineMs: 20_000, intervalMs: 10 }),
    "events are left in the outbox",
  );
}

/** Each test gets a database of its own, because they count rows. */
function test(name: string, fn: (branch: Branch) => Promise<void>): void {
  Deno.test(name, async () => {
    const database = await localDatabase();
    await using branch = await database.connect();
    await fn(branch);
  });
}

test("every change to a user becomes an entry of its activity, deletion included, and the outbox is empty afterwards", async (branch) => {
  const db = branch.open();
  const id = newUserId();
  await createUser(db.session(), id, { email: "ann@example.org", name: "Ann" });
  await changeUser(db.session(), id, { name: "Anna" }, "any");
  await deleteUser(db.session(), id, "any");
  const queue = queueOf(db);
  await untilOutboxIsEmpty(branch);
  await queue.stop({ timeoutMs: 10_000 });
  const rows = await branch.asAdmin("select version, type from user_activity order by version");
  assertEquals(rows, [
    { version: 1, type: "user.created" },
    { version: 2, type: "user.updated" },
    { version: 3, type: "user.deleted" },
  ]);
  assertEquals(await countsOf(branch), { waiting: 0, activity: 3, keys: 3, dead: 0 });
});

test("a refused change writes no event", async (branch) => {
  const db = branch.open();
  const id = newUserId();
  await createUser(db.session(), id, { email: "ann@example.org", name: "Ann" });
  await changeUser(db.session(), id, { name: "Eve" }, [7]).catch(() => {});
  await deleteUser(db.session(), newUserId(), "any").catch(() => {});
  const user = { email: "ann@example.org", name: "Ann" };
  await createUser(db.session(), newUserId(), user).catch(() => {});
  assertEquals((await countsOf(branch)).waiting, 1);
});

test("the events of a user are delivered in order, even by several processes", async (branch) => {
  await writeEvents(branch, { users: 7, versions: 8 });
  const seen = new Map<string, number[]>();
  const db = branch.open();
  const consume = each((delivery) => {
    const { userId, version } = delivery.body as { userId: string; version: number };
    seen.set(userId, [...seen.get(userId) ?? [], version]);
    delivery.ack();
  });
  const queues = [queueOf(db, { consume, batchSize: 3 }), queueOf(db, { consume, batchSize: 3 })];
  await untilOutboxIsEmpty(branch);
  await Promise.all(queues.map((queue) => queue.stop({ timeoutMs: 10_000 })));
  assertEquals(seen.size, 7);
  for (const versions of seen.values()) assertEquals(versions, [1, 2, 3, 4, 5, 6, 7, 8]);
});

test("an invalid event becomes a dead letter, and the later events of its user are delivered", async (branch) => {
  const [id] = await writeEvents(branch, { users: 1, versions: 3 });
  await branch.asAdmin("update user_events set type = 'user.exploded' where version = 2");
  const queue = queueOf(branch.open());
  await untilOutboxIsEmpty(branch);
  await queue.stop({ timeoutMs: 10_000 });
  const rows = await branch.asAdmin(
    `select version from user_activity where user_id = '${id}' order by version`,
  );
  assertEquals(rows, [{ version: 1 }, { version: 3 }]);
  assertEquals((await countsOf(branch)).dead, 1);
});

for (const when of ["before the commit", "after the commit"]) {
  test(`events leased by a process that died ${when} are delivered again after the lease, and take effect once`, async (branch) => {
    await writeEvents(branch, { users: 5, versions: 1 });
    const db = branch.open();
    const { consume } = new Consumer({
      db,
      name: "activity",
      parse: parseUserEvent,
      handler: (events) => [recordActivity(events)],
      onFailure: () => {},
    });
    const died = Promise.withResolvers<void>();
    // Leases all events and never finishes.
    queueOf(db, {
      concurrency: 1,
      leaseMs: 100,
      consume: async (deliveries) => {
        if (when === "after the commit") await consume(deliveries);
        died.resolve();
        await new Promise(() => {});
      },
    });
    await died.promise;
    assertEquals((await countsOf(branch)).waiting, 5);
    const queue = queueOf(db);
    await untilOutboxIsEmpty(branch);
    await queue.stop({ timeoutMs: 10_000 });
    assertEquals(await countsOf(branch), { waiting: 0, activity: 5, keys: 5, dead: 0 });
  });
}

test("stop() finishes the running message, and returns the unprocessed ones to the outbox", async (branch) => {
  await writeEvents(branch, { users: 5, versions: 1 });
  const begun = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const queue = queueOf(branch.open(), {
    concurrency: 1,
    consume: async ([first]) => {
      begun.resolve();
      await finish.promise;
      first?.ack();
    },
  });
  await begun.promise;
  const stopped = queue.stop({ timeoutMs: 10_000 });
  finish.resolve();
  await stopped;
  const rows = await branch.asAdmin(
    "select attempts, due_at <= now() as due from user_events order by id",
  );
  assertEquals(rows, Array(4).fill({ attempts: 0, due: true }));
});

test("a message is not delivered again before its retry delay is over", async (branch) => {
  await writeEvents(branch, { users: 1, versions: 2 });
  const retried = Promise.withResolvers<void>();
  const queue = queueOf(branch.open(), {
    consume: each((delivery) => {
      delivery.retry({ delayMs: 60_000 });
      retried.resolve();
    }),
  });
  await retried.promise;
  await queue.stop({ timeoutMs: 10_000 });
  const rows = await branch.asAdmin(`
    select version, attempts, due_at between now() + interval '50 s' and now() + interval '60 s' as later
    from user_events order by version`);
  // The second event waits for the first.
  assertEquals(rows, [
    { version: 1, attempts: 1, later: true },
    { version: 2, attempts: 0, later: false },
  ]);
});

test("an idle queue polls with growing pauses, up to its interval, by one worker only, and at once when woken", async (branch) => {
  const clock = new ManualClock();
  const db = branch.open();
  let polls = 0;
  const counting = {
    transaction: ((work, options) => {
      polls++;
      return db.transaction(work, options);
    }) as Database["transaction"],
  };
  const consumed = Promise.withResolvers<void>();
  const queue = queueOf(db, {
    db: counting,
    clock,
    pollMs: 1_000,
    random: () => 1,
    consume: each((delivery) => {
      delivery.ack();
      consumed.resolve();
    }),
  });
  const idle = () => pollUntil(() => clock.pending === 1, { deadlineMs: 5_000, intervalMs: 1 });
  assert(await idle());
  assert(await pollUntil(() => polls === 1, { deadlineMs: 5_000, intervalMs: 1 }));
  const pollsPerPause: number[] = [];
  for (const pauseMs of [100, 200, 400, 800, 1_000, 1_000]) {
    await clock.advance(pauseMs - 1);
    const before = polls;
    await clock.advance(1);
    assert(await pollUntil(() => polls > before, { deadlineMs: 5_000, intervalMs: 1 }));
    assert(await idle());
    pollsPerPause.push(polls - before);
  }
  assertEquals(pollsPerPause, [1, 1, 1, 1, 1, 1]);
  await writeEvents(branch, { users: 1, versions: 1 });
  queue.wake();
  await consumed.promise;
  await flushPromises();
  await queue.stop({ timeoutMs: 10_000 });
  assertEquals(clock.pending, 0);
});

test("the queue uses at most as many connections as its concurrency, with any number of waiting events", async (branch) => {
  await writeEvents(branch, { users: 200, versions: 2 });
  const db = branch.open();
  let most = 0;
  const { consume } = new Consumer({
    db,
    name: "activity",
    parse: parseUserEvent,
    handler: (events) => [recordActivity(events)],
    onFailure: () => {},
  });
  const queue = queueOf(db, {
    concurrency: 3,
    consume: async (deliveries, options) => {
      const done = consume(deliveries, options);
      most = Math.max(most, db.stats().leased);
      await done;
      most = Math.max(most, db.stats().leased);
    },
  });
  await untilOutboxIsEmpty(branch);
  await queue.stop({ timeoutMs: 10_000 });
  const { counters } = db.stats();
  assert(most >= 1 && most <= 3, `${most} connections were leased at once`);
  assertEquals(counters.connected, 3);
});

test("in an outage the queue polls as rarely as when idle, reports one failure, and resumes afterwards", async (branch) => {
  await writeEvents(branch, { users: 3, versions: 1 });
  const db = branch.open();
  const clock = new ManualClock();
  let [polls, failures, isDown] = [0, 0, true];
  const flaky = {
    transaction: ((work, options) => {
      polls++;
      return isDown ? Promise.reject(new Error("unreachable")) : db.transaction(work, options);
    }) as Database["transaction"],
  };
  const onFailure = () => void failures++;
  const queue = queueOf(db, { db: flaky, clock, pollMs: 1_000, random: () => 1, onFailure });
  await flushPromises();
  for (const pauseMs of [100, 200, 400, 800, ...Array<number>(28).fill(1_000)]) {
    await clock.advance(pauseMs - 1);
    const before = polls;
    await clock.advance(1);
    assertEquals(polls - before, 1);
  }
  assertEquals([polls, failures], [33, 1]);
  isDown = false;
  await clock.advance(1_000);
  await untilOutboxIsEmpty(branch);
  await queue.stop({ timeoutMs: 10_000 });
  assertEquals(failures, 1);
});

test("workers start one by one, as the work grows", async (branch) => {
  const db = branch.open();
  const batchSizes: number[] = [];
  const release = Promise.withResolvers<void>();
  const consume: Consume = async (deliveries) => {
    batchSizes.push(deliveries.length);
    await release.promise;
    deliveries.forEach((delivery) => delivery.ack());
  };
  await writeEvents(branch, { users: 7, versions: 1 });
  const queue = queueOf(db, { consume, concurrency: 4, batchSize: 3 });
  const areLeased = () => batchSizes.length === 3;
  assert(await pollUntil(areLeased, { deadlineMs: 10_000, intervalMs: 5 }), `${batchSizes}`);
  assertEquals(batchSizes, [3, 3, 1]);
  assertEquals(db.stats().counters.connected, 1);
  release.resolve();
  await untilOutboxIsEmpty(branch);
  await queue.stop({ timeoutMs: 10_000 });
});

test("stop() returns aborted and unprocessed events to the outbox, due at once", async (branch) => {
  await writeEvents(branch, { users: 3, versions: 1 });
  const db = branch.open();
  await using blocking = branch.open().session();
  await blocking.query(sql`lock table user_activity in access exclusive mode`);
  const queue = queueOf(db, { concurrency: 1 });
  assert(await pollUntil(() => isBlocked(branch), { deadlineMs: 10_000, intervalMs: 10 }));
  await queue.stop({ timeoutMs: 0 });
  const rows = await branch.asAdmin("select attempts, due_at <= now() as due from user_events");
  assertEquals(rows, Array(3).fill({ attempts: 0, due: true }));
  await blocking.rollback();
  assertEquals((await countsOf(branch)).activity, 0);
});

test("a consumer that is slower than its lease is aborted, and cannot change events that others have leased since", async (branch) => {
  await writeEvents(branch, { users: 1, versions: 2 });
  const slow = Promise.withResolvers<void>();
  const began = Promise.withResolvers<AbortSignal>();
  const slowQueue = queueOf(branch.open(), {
    concurrency: 1,
    leaseMs: 50,
    consume: async ([delivery], { signal } = {}) => {
      began.resolve(signal!);
      await slow.promise;
      delivery?.retry({ delayMs: 3_600_000 });
    },
  });
  const signal = await began.promise;
  assert(await pollUntil(() => signal.aborted, { deadlineMs: 5_000, intervalMs: 5 }));
  // Another queue has leased the event when the slow one reports its outcome.
  const held = Promise.withResolvers<void>();
  const taken = Promise.withResolvers<void>();
  const versions: number[] = [];
  const queue = queueOf(branch.open(), {
    concurrency: 1,
    consume: async (deliveries) => {
      for (const delivery of deliveries) {
        versions.push((delivery.body as { version: number }).version);
        taken.resolve();
        await held.promise;
        delivery.ack();
      }
    },
  });
  await taken.promise;
  const stopped = slowQueue.stop({ timeoutMs: 10_000 });
  slow.resolve();
  await stopped;
  const [row] = await branch.asAdmin(`
    select attempts, due_at < now() + interval '1 min' as soon from user_events where version = 1`);
  assertEquals(row, { attempts: 2, soon: true });
  held.resolve();
  await untilOutboxIsEmpty(branch);
  await queue.stop({ timeoutMs: 10_000 });
  assertEquals(versions, [1, 2]);
});

test("workers skip events that others have leased, also when the default isolation level is serializable", async (branch) => {
  await writeEvents(branch, { users: 300, versions: 1 });
  const db = branch.open({ DATABASE_ISOLATION_LEVEL: "serializable" });
  const errors: unknown[] = [];
  const options = {
    batchSize: 3,
    consume: each((delivery) => delivery.ack()),
    onFailure: (error: unknown) => void errors.push(error),
  };
  const queues = [queueOf(db, options), queueOf(db, options)];
  await untilOutboxIsEmpty(branch);
  await Promise.all(queues.map((queue) => queue.stop({ timeoutMs: 10_000 })));
  assertEquals([errors, db.stats().retried], [[], {}]);
});

test("a message that is always slower than its lease is counted as an attempt each time", async (branch) => {
  await writeEvents(branch, { users: 1, versions: 1 });
  const attempts: number[] = [];
  const third = Promise.withResolvers<void>();
  const queue = queueOf(branch.open(), {
    concurrency: 1,
    leaseMs: 30,
    consume: async ([delivery], { signal } = {}) => {
      attempts.push(delivery!.attempts);
      if (attempts.length === 3) third.resolve();
      await new Promise((resolve) => signal!.addEventListener("abort", resolve, { once: true }));
    },
  });
  await third.promise;
  await queue.stop({ timeoutMs: 10_000 });
  assertEquals(attempts.slice(0, 3), [1, 2, 3]);
});

test("a queue deletes message keys older than 30 days along with its polls, 1,000 at a time", async (branch) => {
  await branch.asAdmin(`
    insert into transaction_keys (key, created_at)
    select 'old ' || number, now() - interval '31 days' from generate_series(1, 2500) as number`);
  await branch.asAdmin(`
    insert into transaction_keys (key, created_at) values ('young', now() - interval '29 days')`);
  const clock = new ManualClock();
  const queue = queueOf(branch.open(), { clock, pollMs: 1_000, random: () => 1 });
  const left = async () => (await countsOf(branch)).keys;
  const seen = new Set<number>();
  const isClean = async () => {
    await clock.advance(1_000);
    seen.add(await left());
    return seen.has(1);
  };
  assert(await pollUntil(isClean, { deadlineMs: 30_000, intervalMs: 1 }), `${[...seen]}`);
  await queue.stop({ timeoutMs: 10_000 });
  for (const count of seen) assert([2501, 1501, 501, 1].includes(count), `${[...seen]}`);
});

/** Whether a session waits for the lock on the table. */
async function isBlocked(branch: Branch): Promise<boolean> {
  const waiting = await branch.asAdmin(`
    select from pg_locks where not granted and relation = 'user_activity'::regclass
      and database = (select oid from pg_database where datname = current_database())`);
  return waiting.length > 0;
}
