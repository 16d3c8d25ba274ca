/** Outcomes that arrive late: they may change only the delivery that they are about. */
import { assert, assertEquals } from "@std/assert";
import { type Database, ServerError, sql } from "../../src/db/mod.ts";
import { dispatchEvents } from "../../src/queue/cloudflare_queue.ts";
import { Consumer } from "../../src/queue/consumer.ts";
import { deadLetter, requeue } from "../../src/queue/dead_letters.ts";
import {
  dropEvents,
  FIRST_USER,
  type LeasedEvent,
  messageOf,
  type OutboxRow,
  returnEvents,
  takeFirstEvents,
} from "../../src/queue/outbox.ts";
import { PostgresQueue } from "../../src/queue/postgres_queue.ts";
import type { Consume } from "../../src/queue/transport.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import { parseUserEvent } from "../../src/users/user_event.ts";
import type { Branch } from "../support/branch.ts";
import { localDatabase } from "../support/local_database.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { writeEvents } from "./events.ts";

const database = await localDatabase();
const LEASE_MS = 60_000;

function test(name: string, fn: (branch: Branch, db: Database) => Promise<void>): void {
  Deno.test(name, async () => {
    await using branch = await database.connect();
    try {
      await fn(branch, branch.open());
    } finally {
      await branch.asAdmin("delete from user_events");
      await branch.asAdmin("delete from dead_letters");
    }
  });
}

async function take(db: Database): Promise<OutboxRow> {
  const statement = takeFirstEvents({ limit: 1, leaseMs: LEASE_MS, after: FIRST_USER });
  const [[row]] = await db.transaction((session) => session.commit([statement]));
  return row!;
}

/** What a consumer does that gives up the event. */
async function giveUp(db: Database, row: OutboxRow): Promise<string> {
  const { id, attempts } = row;
  const letter = { consumer: "activity", id, body: messageOf(row), attempts, error: "it failed" };
  await db.transaction((session) => session.commit([deadLetter(letter)]));
  const [[stored]] = await db.transaction((session) =>
    session.commit([
      sql<{ id: string }>`select id::text from dead_letters where message_id = ${id}`,
    ])
  );
  return stored!.id;
}

async function drop(db: Database, delivered: readonly LeasedEvent[]): Promise<void> {
  await db.transaction((session) => session.commit([dropEvents(delivered)]));
}

async function outbox(branch: Branch): Promise<unknown[]> {
  return await branch.asAdmin(
    "select id::text, attempts, due_at <= now() as due from user_events order by id",
  );
}

test("an ack whose lease still holds deletes its event, and no other", async (branch, db) => {
  await writeEvents(branch, { users: 2, versions: 1 });
  const [one, two] = [await take(db), await take(db)];
  await drop(db, [{ ...one, lease: two.lease }]);
  assertEquals((await outbox(branch)).length, 2);
  await drop(db, [one]);
  assertEquals(await outbox(branch), [{ id: two.id, attempts: 1, due: false }]);
});

test("a late ack leaves an event that an operator has put back", async (branch, db) => {
  await writeEvents(branch, { users: 1, versions: 1 });
  const slow = await take(db);
  // The lease ends; another worker gives the event up.
  await branch.asAdmin("update user_events set due_at = now()");
  const other = await take(db);
  const letter = await giveUp(db, other);
  await drop(db, [other]);
  assert(await db.transaction((session) => requeue(session, letter)));
  await drop(db, [slow]);
  assertEquals(await outbox(branch), [{ id: slow.id, attempts: 0, due: true }]);
});

test(
  "an ack leaves an event that an operator has put back before the ack arrived",
  async (branch, db) => {
    await writeEvents(branch, { users: 1, versions: 1 });
    const row = await take(db);
    const letter = await giveUp(db, row);
    assert(await db.transaction((session) => requeue(session, letter)));
    await drop(db, [row]);
    assertEquals(await outbox(branch), [{ id: row.id, attempts: 0, due: true }]);
  },
);

test("a late retry does not delay an event that an operator has put back", async (branch, db) => {
  await writeEvents(branch, { users: 1, versions: 1 });
  const row = await take(db);
  const letter = await giveUp(db, row);
  assert(await db.transaction((session) => requeue(session, letter)));
  const late = returnEvents([{ ...row, delayMs: 3_600_000 }]);
  await db.transaction((session) => session.commit([late]));
  assertEquals(await outbox(branch), [{ id: row.id, attempts: 0, due: true }]);
});

test("a late ack leaves an event that another worker has leased since", async (branch, db) => {
  await writeEvents(branch, { users: 1, versions: 1 });
  const slow = await take(db);
  await branch.asAdmin("update user_events set due_at = now()");
  const other = await take(db);
  await drop(db, [slow]);
  assertEquals(await outbox(branch), [{ id: slow.id, attempts: 2, due: false }]);
  await drop(db, [other]);
  assertEquals(await outbox(branch), []);
});

test(
  "a consumer that outlives its lease deletes no event that was put back",
  async (branch, db) => {
    await writeEvents(branch, { users: 1, versions: 1 });
    const clock = new ManualClock();
    const begun = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    const consume: Consume = async ([delivery]) => {
      begun.resolve();
      await finish.promise;
      delivery!.ack();
    };
    const queue = new PostgresQueue({
      db,
      consume,
      concurrency: 1,
      pollMs: 1_000,
      leaseMs: LEASE_MS,
      clock,
      onFailure: () => {},
    });
    await begun.promise;
    await clock.advance(LEASE_MS);
    await branch.asAdmin("update user_events set due_at = now()");
    const other = await take(db);
    const letter = await giveUp(db, other);
    await drop(db, [other]);
    assert(await db.transaction((session) => requeue(session, letter)));
    const stopped = queue.stop({ timeoutMs: 10_000 });
    finish.resolve();
    await stopped;
    assertEquals(await outbox(branch), [{ id: other.id, attempts: 0, due: true }]);
  },
);

test(
  "a dispatch that outlives its lease deletes no event that was put back",
  async (branch, db) => {
    await writeEvents(branch, { users: 1, versions: 1 });
    const sent = await dispatchEvents(db, {
      async sendBatch() {
        await branch.asAdmin("update user_events set due_at = now()");
        const other = await take(db);
        const letter = await giveUp(db, other);
        await drop(db, [other]);
        assert(await db.transaction((session) => requeue(session, letter)));
      },
    });
    assertEquals(sent, 1);
    assertEquals((await outbox(branch)).length, 1);
  },
);

test(
  "a repaired dead letter replaces its event where the outbox still holds it",
  async (branch, db) => {
    await writeEvents(branch, { users: 1, versions: 1 });
    await branch.asAdmin("update user_events set type = 'user.exploded'");
    const letter = await giveUp(db, await take(db));
    await branch.asAdmin(
      `update dead_letters set body = jsonb_set(body, '{type}', '"user.created"')`,
    );
    assert(await db.transaction((session) => requeue(session, letter)));
    assertEquals(await branch.asAdmin("select type, attempts from user_events"), [
      { type: "user.created", attempts: 0 },
    ]);
  },
);

test(
  "a dead letter stays if the outbox holds another event of its user and version",
  async (branch, db) => {
    await writeEvents(branch, { users: 1, versions: 1 });
    const row = await take(db);
    const letter = await giveUp(db, row);
    await branch.asAdmin("update user_events set id = default");
    const error = await db.transaction((session) => requeue(session, letter)).catch((error) =>
      error
    );
    assert(error instanceof ServerError && error.sqlState === "23505", String(error));
    assertEquals((await branch.asAdmin("select from dead_letters")).length, 1);
  },
);

test(
  "an event that was put back twice takes effect once, also if both runs overlap",
  async (branch, db) => {
    const [userId] = await writeEvents(branch, { users: 1, versions: 1 });
    const { consume } = new Consumer({
      db,
      name: "activity",
      parse: parseUserEvent,
      handler: (events) => [recordActivity(events)],
      onFailure: () => {},
    });
    const row = await take(db);
    const letter = await giveUp(db, row);
    assert(await db.transaction((session) => requeue(session, letter)));
    const again = await take(db);
    const outcomes: string[] = [];
    const deliver = (event: OutboxRow) =>
      consume([{
        id: event.id,
        body: messageOf(event),
        attempts: event.attempts,
        ack: () => void outcomes.push("ack"),
        retry: () => void outcomes.push("retry"),
      }]);
    await Promise.all([deliver(row), deliver(again)]);
    await drop(db, [row]);
    await drop(db, [again]);
    assertEquals([outcomes, await outbox(branch)], [["ack", "ack"], []]);
    const entries = await branch.asAdmin(`select from user_activity where user_id = '${userId}'`);
    assertEquals(entries.length, 1);
  },
);

test("putting a dead letter back restores the trace of its request", async (branch, db) => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await writeEvents(branch, { users: 1, versions: 1 });
  await branch.asAdmin(`update user_events set traceparent = '${traceparent}'`);
  const row = await take(db);
  const letter = await giveUp(db, row);
  await drop(db, [row]);
  assert(await db.transaction((session) => requeue(session, letter)));
  assertEquals(messageOf(await take(db)), messageOf(row));
  assertEquals(await branch.asAdmin("select traceparent from user_events"), [{ traceparent }]);
});
