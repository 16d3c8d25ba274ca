import { assert, assertEquals } from "@std/assert";
import type { Database } from "../../src/db/mod.ts";
import { Consumer } from "../../src/queue/consumer.ts";
import { PostgresQueue, type PostgresQueueOptions } from "../../src/queue/postgres_queue.ts";
import type { Delivery } from "../../src/queue/transport.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import { newUserId } from "../../src/users/user_id.ts";
import { changeUser, createUser, deleteUser } from "../../src/users/user_store.ts";
import { pollUntil } from "../../src/dev/poll.ts";
import type { Branch } from "../support/branch.ts";
import { localDatabase } from "../support/local_database.ts";
import { ManualClock, settle } from "../support/manual_clock.ts";
import { countsOf, writeEvents } from "./events.ts";

function queueOf(db: Database, options: Partial<PostgresQueueOptions> = {}): PostgresQueue {
  const { consume } = new Consumer({
    db,
    name: "activity",
    effect: (event) => [recordActivity(event)],
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

async function untilNoneWaits(branch: Branch): Promise<void> {
  const isDone = async () => (await countsOf(branch)).waiting === 0;
  assert(await pollUntil(isDone, { deadlineMs: 20_000, intervalMs: 10 }), "events are left");
}

/** A database of its own for each test: all of them count rows. */
function test(name: string, fn: (branch: Branch) => Promise<void>): void {
  Deno.test(name, async () => {
    const database = await localDatabase();
    await using branch = await database.connect();
    await fn(branch);
  });
}

test("what happens to a user becomes its activity, a deletion too, and nothing is left of the events", async (branch) => {
  const db = branch.open();
  const id = newUserId();
  await createUser(db.session(), id, { email: "ann@example.org", name: "Ann" });
  await changeUser(db.session(), id, { name: "Anna" }, "any");
  await deleteUser(db.session(), id, "any");
  const queue = queueOf(db);
  await untilNoneWaits(branch);
  await queue.stop();
  const rows = await branch.asAdmin("select version, type from user_activity order by version");
  assertEquals(rows, [
    { version: 1, type: "user.created" },
    { version: 2, type: "user.updated" },
    { version: 3, type: "user.deleted" },
  ]);
  assertEquals(await countsOf(branch), { waiting: 0, activity: 3, inbox: 3, dead: 0 });
});

test("a change that is refused leaves no event", async (branch) => {
  const db = branch.open();
  const id = newUserId();
  await createUser(db.session(), id, { email: "ann@example.org", name: "Ann" });
  await changeUser(db.session(), id, { name: "Eve" }, [7]).catch(() => {});
  await deleteUser(db.session(), newUserId(), "any").catch(() => {});
  const user = { email: "ann@example.org", name: "Ann" };
  await createUser(db.session(), newUserId(), user).catch(() => {});
  assertEquals((await countsOf(branch)).waiting, 1);
});

test("the events of a user are handed out in their order, whoever takes them", async (branch) => {
  await writeEvents(branch, { users: 7, versions: 8 });
  const seen = new Map<string, number[]>();
  const db = branch.open();
  const consume = (delivery: Delivery) => {
    const { userId, version } = delivery.body as { userId: string; version: number };
    seen.set(userId, [...seen.get(userId) ?? [], version]);
    delivery.ack();
    return Promise.resolve();
  };
  const queues = [queueOf(db, { consume, batchSize: 3 }), queueOf(db, { consume, batchSize: 3 })];
  await untilNoneWaits(branch);
  await Promise.all(queues.map((queue) => queue.stop()));
  assertEquals(seen.size, 7);
  for (const versions of seen.values()) assertEquals(versions, [1, 2, 3, 4, 5, 6, 7, 8]);
});

test("poison goes to the dead letters, and the later events of its user go on", async (branch) => {
  const [id] = await writeEvents(branch, { users: 1, versions: 3 });
  await branch.asAdmin("update user_events set type = 'user.exploded' where version = 2");
  const queue = queueOf(branch.open());
  await untilNoneWaits(branch);
  await queue.stop();
  const rows = await branch.asAdmin(
    `select version from user_activity where user_id = '${id}' order by version`,
  );
  assertEquals(rows, [{ version: 1 }, { version: 3 }]);
  assertEquals((await countsOf(branch)).dead, 1);
});

test("what a dead process had in hand is handed out again once its time is over, and takes effect once", async (branch) => {
  await writeEvents(branch, { users: 5, versions: 1 });
  const db = branch.open();
  const took = Promise.withResolvers<void>();
  // It takes all, and never comes back.
  const dead = queueOf(db, {
    concurrency: 1,
    leaseMs: 100,
    consume: () => {
      took.resolve();
      return new Promise(() => {});
    },
  });
  await took.promise;
  const queue = queueOf(db);
  await untilNoneWaits(branch);
  await queue.stop();
  assertEquals(await countsOf(branch), { waiting: 0, activity: 5, inbox: 5, dead: 0 });
  assert(dead instanceof PostgresQueue);
});

test("stop() finishes the message under way, and gives back those that nobody has looked at", async (branch) => {
  await writeEvents(branch, { users: 5, versions: 1 });
  const begun = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const queue = queueOf(branch.open(), {
    concurrency: 1,
    consume: async (delivery) => {
      begun.resolve();
      await finish.promise;
      delivery.ack();
    },
  });
  await begun.promise;
  const stopped = queue.stop();
  finish.resolve();
  await stopped;
  const rows = await branch.asAdmin(
    "select attempts, due_at <= now() as due from user_events order by id",
  );
  assertEquals(rows, Array(4).fill({ attempts: 0, due: true }));
});

test("a message that is to come again is not handed out before its time", async (branch) => {
  await writeEvents(branch, { users: 1, versions: 2 });
  const told = Promise.withResolvers<void>();
  const queue = queueOf(branch.open(), {
    consume: (delivery) => {
      delivery.retry({ delayMs: 60_000 });
      told.resolve();
      return Promise.resolve();
    },
  });
  await told.promise;
  await queue.stop();
  const rows = await branch.asAdmin(`
    select version, attempts, due_at between now() + interval '50 s' and now() + interval '60 s' as later
    from user_events order by version`);
  // The second waits for the first.
  assertEquals(rows, [
    { version: 1, attempts: 1, later: true },
    { version: 2, attempts: 0, later: false },
  ]);
});

test("an idle queue looks less and less often, up to its interval, one lane of all, and at once when it is woken", async (branch) => {
  const clock = new ManualClock();
  const db = branch.open();
  let looks = 0;
  const counting = {
    transaction: ((work, options) => {
      looks++;
      return db.transaction(work, options);
    }) as Database["transaction"],
  };
  const consumed = Promise.withResolvers<void>();
  const queue = queueOf(db, {
    db: counting,
    clock,
    pollMs: 1_000,
    random: () => 1,
    consume: (delivery) => {
      delivery.ack();
      consumed.resolve();
      return Promise.resolve();
    },
  });
  const idle = () => pollUntil(() => clock.pending === 1, { deadlineMs: 5_000, intervalMs: 1 });
  assert(await idle());
  assert(await pollUntil(() => looks === 1, { deadlineMs: 5_000, intervalMs: 1 }));
  const looksAfter: number[] = [];
  for (const pauseMs of [100, 200, 400, 800, 1_000, 1_000]) {
    await clock.advance(pauseMs - 1);
    const early = looks;
    await clock.advance(1);
    assert(await pollUntil(() => looks > early, { deadlineMs: 5_000, intervalMs: 1 }));
    assert(await idle());
    looksAfter.push(looks - early);
  }
  assertEquals(looksAfter, [1, 1, 1, 1, 1, 1]);
  await writeEvents(branch, { users: 1, versions: 1 });
  queue.wake();
  await consumed.promise;
  await settle();
  await queue.stop();
  assertEquals(clock.pending, 0);
});

test("however many messages wait, the queue uses no more connections than its concurrency", async (branch) => {
  await writeEvents(branch, { users: 200, versions: 2 });
  const db = branch.open();
  let most = 0;
  const { consume } = new Consumer({
    db,
    name: "activity",
    effect: (event) => [recordActivity(event)],
    onFailure: () => {},
  });
  const queue = queueOf(db, {
    concurrency: 3,
    consume: async (delivery) => {
      const done = consume(delivery);
      most = Math.max(most, db.stats().leased);
      await done;
      most = Math.max(most, db.stats().leased);
    },
  });
  await untilNoneWaits(branch);
  await queue.stop();
  const { counters } = db.stats();
  assert(most >= 1 && most <= 3, `${most} were in use at once`);
  assertEquals(counters.connected, 3);
});

test("an outage of the database is told, and the queue goes on after it", async (branch) => {
  await writeEvents(branch, { users: 3, versions: 1 });
  const db = branch.open();
  let failures = 0;
  let isAway = true;
  const flaky = {
    transaction:
      ((work, options) =>
        isAway ? Promise.reject(new Error("away")) : db.transaction(work, options)) as Database[
          "transaction"
        ],
  };
  const queue = queueOf(db, {
    db: flaky,
    onFailure: () => {
      if (++failures === 6) isAway = false;
    },
  });
  await untilNoneWaits(branch);
  await queue.stop();
  assert(failures >= 6);
});
