import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Database, sql } from "../../src/db/mod.ts";
import { MAX_ATTEMPTS, MAX_OUTAGE_ATTEMPTS } from "../../src/queue/attempts.ts";
import { Consumer, type ConsumerOptions, type MessageFailure } from "../../src/queue/consumer.ts";
import { retryDelayMs } from "../../src/queue/retry_delay.ts";
import type { Delivery } from "../../src/queue/transport.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import { parseUserEvent, type UserEvent } from "../../src/users/user_event.ts";
import { newUserId } from "../../src/users/user_id.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { localDatabase } from "../support/local_database.ts";
import { countsOf } from "./events.ts";

const database = await localDatabase();

let events = 0;

function anEvent(changes: Partial<UserEvent> = {}): UserEvent {
  return {
    id: String(++events),
    userId: newUserId(),
    version: 1,
    occurredAt: new Date().toISOString(),
    type: "user.created",
    data: { email: "ann@example.org", name: "Ann" },
    ...changes,
  } as UserEvent;
}

/** A delivery that records the outcome that the consumer reports. */
function deliver(
  body: unknown,
  { id = (body as UserEvent).id, attempts = 1 }: { id?: string; attempts?: number } = {},
): Delivery & { readonly outcomes: string[] } {
  const outcomes: string[] = [];
  const retry = ({ delayMs }: { delayMs: number }) => void outcomes.push(`retry in ${delayMs} ms`);
  return { id, body, attempts, outcomes, ack: () => void outcomes.push("ack"), retry };
}

function consumerOf(
  db: Pick<Database, "transaction">,
  handler: ConsumerOptions<UserEvent>["handler"] = (events) => [recordActivity(events)],
) {
  const failures: MessageFailure[] = [];
  const onFailure = (failure: MessageFailure) => void failures.push(failure);
  const consumer = new Consumer({
    db,
    name: "test",
    parse: parseUserEvent,
    handler,
    onFailure,
    random: () => 1,
  });
  return { consumer, failures };
}

Deno.test("a message that is delivered twice takes effect once and is acked twice", async () => {
  await using branch = await database.connect();
  const { consumer, failures } = consumerOf(branch.open());
  const before = await countsOf(branch);
  const event = anEvent();
  const [one, two] = [deliver(event), deliver(event, { attempts: 2 })];
  await consumer.consume([one]);
  await consumer.consume([two]);
  assertEquals([one.outcomes, two.outcomes, failures], [["ack"], ["ack"], []]);
  const after = await countsOf(branch);
  assertEquals(after.activity - before.activity, 1);
});

Deno.test("concurrent deliveries of one message take effect once", async () => {
  await using branch = await database.connect();
  const { consumer } = consumerOf(branch.open());
  const before = await countsOf(branch);
  const event = anEvent();
  const deliveries = Array.from({ length: 5 }, () => deliver(event));
  await Promise.all(deliveries.map((delivery) => consumer.consume([delivery])));
  assertEquals(deliveries.map(({ outcomes }) => outcomes), deliveries.map(() => ["ack"]));
  assertEquals((await countsOf(branch)).activity - before.activity, 1);
});

Deno.test("events that arrive out of order leave the activity ordered by version", async () => {
  await using branch = await database.connect();
  const { consumer } = consumerOf(branch.open());
  const userId = newUserId();
  const eventOf = (version: number) => deliver(anEvent({ userId, version, type: "user.updated" }));
  await consumer.consume([3, 1].map(eventOf));
  await consumer.consume([4, 2].map(eventOf));
  const rows = await branch.asAdmin<{ version: number }>(
    `select version from user_activity where user_id = '${userId}' order by version`,
  );
  assertEquals(rows.map(({ version }) => version), [1, 2, 3, 4]);
});

Deno.test("a message that cannot be parsed becomes a dead letter at once, with its body and the reason", async () => {
  await using branch = await database.connect();
  const { consumer, failures } = consumerOf(branch.open());
  const bodies = [{ type: "user.exploded" }, "text", null, undefined, { ...anEvent(), version: 0 }];
  for (const [index, body] of bodies.entries()) {
    const delivery = deliver(body, { id: `unread-${index}` });
    await consumer.consume([delivery]);
    assertEquals(delivery.outcomes, ["ack"]);
  }
  const rows = await branch.asAdmin<{ body: unknown; error: string }>(
    "select body, error from dead_letters where message_id like 'unread-%' order by id",
  );
  assertEquals(rows.map(({ body }) => body), bodies.map((body) => body ?? null));
  for (const { error } of rows) {
    assertMatch(error, /^Cannot read the message as it is not a user event: /);
  }
  assertEquals(failures.map(({ isDead }) => isDead), bodies.map(() => true));
});

Deno.test("a message whose statements the server rejects is tried five times, with growing delays, then becomes a dead letter", async () => {
  await using branch = await database.connect();
  const { consumer, failures } = consumerOf(branch.open(), () => [sql`select 1 / 0`]);
  const event = anEvent();
  const outcomes: string[] = [];
  for (let attempts = 1; attempts <= MAX_ATTEMPTS; attempts++) {
    const delivery = deliver(event, { attempts });
    await consumer.consume([delivery]);
    outcomes.push(...delivery.outcomes);
  }
  assertEquals(
    outcomes,
    [1_000, 2_000, 4_000, 8_000].map((ms) => `retry in ${ms} ms`).concat("ack"),
  );
  const [row] = await branch.asAdmin(
    `select error, attempts from dead_letters where message_id = '${event.id}'`,
  );
  assertEquals(row, { error: "ServerError: division by zero", attempts: MAX_ATTEMPTS });
  assertEquals(failures.at(-1)?.isDead, true);
  const [keys] = await branch.asAdmin(
    `select count(*)::int as count from transaction_keys where key = 'test ${event.id}'`,
  );
  assertEquals(keys, { count: 0 });
});

Deno.test("a message that fails while the database is unreachable is retried, also on its hundredth attempt, as no dead letter can be stored", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  await db.close({ timeoutMs: 0 });
  const { consumer, failures } = consumerOf(db);
  for (const attempts of [1, MAX_ATTEMPTS, MAX_OUTAGE_ATTEMPTS - 1, MAX_OUTAGE_ATTEMPTS]) {
    const delivery = deliver(anEvent(), { attempts });
    await consumer.consume([delivery]);
    assertEquals(delivery.outcomes, [`retry in ${retryDelayMs(attempts, { random: () => 1 })} ms`]);
  }
  assert(failures.every(({ isDead }) => !isDead));
});

Deno.test("messages on their first attempt share one transaction and one call of the handler", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  let calls = 0;
  const { consumer, failures } = consumerOf(db, (events) => {
    calls++;
    return [recordActivity(events)];
  });
  const before = await countsOf(branch);
  const deliveries = Array.from({ length: 20 }, () => deliver(anEvent()));
  await consumer.consume(deliveries);
  assertEquals(deliveries.map(({ outcomes }) => outcomes), deliveries.map(() => ["ack"]));
  assertEquals([calls, failures], [1, []]);
  assertEquals((await countsOf(branch)).activity - before.activity, 20);
  const [marks] = await branch.asAdmin<{ transactions: number }>(`
    select count(distinct xmin::text)::int as transactions from user_activity
    where user_id in (${deliveries.map(({ body }) => `'${(body as UserEvent).userId}'`).join()})`);
  assertEquals(marks?.transactions, 1);
});

Deno.test("a message that fails, or that already took effect, does not affect the others of its batch", async () => {
  await using branch = await database.connect();
  await branch.asAdmin("alter table user_activity add constraint no_sevens check (version <> 7)");
  const { consumer, failures } = consumerOf(branch.open());
  const done = anEvent();
  await consumer.consume([deliver(done)]);
  const [good, bad, again, invalid, late] = [
    deliver(anEvent()),
    deliver(anEvent({ version: 7 })),
    deliver(done),
    deliver({ type: "user.exploded" }, { id: "invalid" }),
    deliver(anEvent(), { attempts: 3 }),
  ];
  const before = await countsOf(branch);
  await consumer.consume([good, bad, again, invalid, late]);
  await branch.asAdmin("alter table user_activity drop constraint no_sevens");
  assertEquals(
    [good, bad, again, invalid, late].map(({ outcomes }) => outcomes),
    [["ack"], ["retry in 1000 ms"], ["ack"], ["ack"], ["ack"]],
  );
  const after = await countsOf(branch);
  assertEquals([after.activity - before.activity, after.dead - before.dead], [2, 1]);
  assertEquals(failures.map(({ messageIds, isDead }) => [messageIds, isDead]), [
    [[bad.id], false],
    [["invalid"], true],
  ]);
});

for (const attempts of [1, 2]) {
  Deno.test(`in an outage one transaction is tried for all messages of attempt ${attempts}, invalid ones too, and all are retried later`, async () => {
    await using branch = await database.connect();
    const db = branch.open();
    await db.close({ timeoutMs: 0 });
    let transactions = 0;
    const counting = {
      transaction: ((work, options) => {
        transactions++;
        return db.transaction(work, options);
      }) as Database["transaction"],
    };
    const { consumer, failures } = consumerOf(counting);
    const deliveries = Array.from({ length: 20 }, () => deliver(anEvent(), { attempts }));
    const invalid = deliver({ type: "user.exploded" }, { id: "invalid", attempts });
    await consumer.consume([invalid, ...deliveries]);
    for (const { outcomes } of [invalid, ...deliveries]) {
      assertEquals(outcomes, [`retry in ${1_000 * attempts} ms`]);
    }
    assertEquals(transactions, 1);
    const reported = failures.flatMap(({ messageIds }) => messageIds);
    assertEquals(reported.toSorted(), [invalid, ...deliveries].map(({ id }) => id).sort());
    assert(failures.length <= 2, `${failures.length} failures were reported`);
  });
}

Deno.test("an invalid message becomes a dead letter even if jsonb cannot hold its body or if it has the id of another event", async () => {
  await using branch = await database.connect();
  const { consumer } = consumerOf(branch.open());
  const event = anEvent();
  const bodies = [
    { type: "a\0b" },
    { type: "\ud800", text: "\\u0000" },
    { id: "x".repeat(10_000), type: "\x1b[31m".repeat(1_000) },
    { ...event, type: "user.exploded" },
    { ...event, version: 2 ** 31 },
  ];
  const deliveries = bodies.map((body, index) => deliver(body, { id: `hard-${index}` }));
  await consumer.consume(deliveries);
  assertEquals(deliveries.map(({ outcomes }) => outcomes), deliveries.map(() => ["ack"]));
  const rows = await branch.asAdmin<{ body: unknown; error: string }>(
    "select body, error from dead_letters where message_id like 'hard-%' order by message_id",
  );
  const unstorable = bodies.slice(0, 2).map((body) => JSON.stringify(body));
  assertEquals(rows.map(({ body }) => body), [...unstorable, ...bodies.slice(2)]);
  for (const { error } of rows) {
    assertMatch(error, /^Cannot read the message[^\p{Cc}]+$/u);
    assert(error.length <= 4_000, `${error.length} characters`);
  }
  // Invalid messages are stored under the transport's ids, so the event's own id is still free.
  const own = deliver(event);
  await consumer.consume([own]);
  await consumer.deadLetter(deliver(event, { id: "delivered twice" }), "given up");
  await consumer.deadLetter(deliver(event, { id: "delivered three times" }), "given up");
  const dead = await branch.asAdmin(
    `select message_id from dead_letters where error = 'given up'`,
  );
  assertEquals([own.outcomes, dead], [["ack"], [{ message_id: event.id }]]);
});

Deno.test("a message that is nested too deeply to be stored as it is becomes a dead letter", async () => {
  await using branch = await database.connect();
  const { consumer } = consumerOf(branch.open());
  const nested = (depth: number, wrap: (inner: unknown) => unknown) => {
    let body: unknown = 1;
    for (let level = 0; level < depth; level++) body = wrap(body);
    return body;
  };
  // PostgreSQL reads jsonb by recursion, and V8 writes members by recursion whose names are numbers.
  const bodies = [nested(50_000, (inner) => [inner]), nested(20_000, (inner) => ({ 0: inner }))];
  const deliveries = bodies.map((body, index) => deliver(body, { id: `deep-${index}` }));
  await consumer.consume(deliveries);
  assertEquals(deliveries.map(({ outcomes }) => outcomes), [["ack"], ["ack"]]);
  const rows = await branch.asAdmin<{ body: unknown }>(
    "select body from dead_letters where message_id like 'deep-%' order by message_id",
  );
  assertEquals(rows.map(({ body }) => body), [
    "[".repeat(50_000) + "1" + "]".repeat(50_000),
    "(nested too deeply to be written)",
  ]);
});

Deno.test("a message that ends its process each time becomes a dead letter after a hundred deliveries", async () => {
  await using branch = await database.connect();
  const { consumer, failures } = consumerOf(branch.open());
  const delivery = deliver(anEvent(), { attempts: MAX_OUTAGE_ATTEMPTS + 1 });
  await consumer.consume([delivery]);
  assertEquals(delivery.outcomes, ["ack"]);
  assertMatch(
    failures[0]?.error ?? "",
    /^Cannot process the message as 100 deliveries did not complete it/,
  );
});

Deno.test("messages whose work is aborted get no outcome, and nothing is committed", async () => {
  await using branch = await database.connect();
  await using blocking = branch.open().session();
  await blocking.query(sql`lock table user_activity in access exclusive mode`);
  const { consumer, failures } = consumerOf(branch.open());
  const deliveries = [deliver(anEvent()), deliver(anEvent()), deliver(anEvent(), { attempts: 2 })];
  const aborted = new AbortController();
  const consumed = consumer.consume(deliveries, { signal: aborted.signal });
  const isWaiting = async () =>
    (await branch.asAdmin(`
      select from pg_locks where not granted and relation = 'user_activity'::regclass
        and database = (select oid from pg_database where datname = current_database())`))
      .length === 1;
  assert(await pollUntil(isWaiting, { deadlineMs: 10_000, intervalMs: 10 }));
  aborted.abort();
  await consumed;
  await blocking.rollback();
  assertEquals(deliveries.map(({ outcomes }) => outcomes), [[], [], []]);
  assertEquals(failures, []);
});

Deno.test("the retry delay doubles, is at least half of its bound, and at most a quarter of an hour", () => {
  const least = (attempts: number) => retryDelayMs(attempts, { random: () => 0 });
  const most = (attempts: number) => retryDelayMs(attempts, { random: () => 1 });
  assertEquals([1, 2, 3, 10, 100].map(most), [1_000, 2_000, 4_000, 512_000, 900_000]);
  assertEquals([1, 2, 3, 10, 100].map(least), [500, 1_000, 2_000, 256_000, 450_000]);
});
