import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Database, sql } from "../../src/db/mod.ts";
import {
  Consumer,
  type ConsumerOptions,
  MAX_ATTEMPTS,
  MAX_OUTAGE_ATTEMPTS,
  type MessageFailure,
} from "../../src/queue/consumer.ts";
import { retryDelayMs } from "../../src/queue/retry_delay.ts";
import type { Delivery } from "../../src/queue/transport.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import type { UserEvent } from "../../src/users/user_event.ts";
import { newUserId } from "../../src/users/user_id.ts";
import { pollUntil } from "../../src/dev/poll.ts";
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

/** A delivery that notes what it is told. */
function deliver(
  body: unknown,
  { id = (body as UserEvent).id, attempts = 1 }: { id?: string; attempts?: number } = {},
): Delivery & { readonly told: string[] } {
  const told: string[] = [];
  const retry = ({ delayMs }: { delayMs: number }) => void told.push(`retry in ${delayMs} ms`);
  return { id, body, attempts, told, ack: () => void told.push("ack"), retry };
}

function consumerOf(
  db: Pick<Database, "transaction">,
  effect: ConsumerOptions["effect"] = (events) => [recordActivity(events)],
) {
  const failures: MessageFailure[] = [];
  const onFailure = (failure: MessageFailure) => void failures.push(failure);
  const consumer = new Consumer({ db, name: "test", effect, onFailure, random: () => 1 });
  return { consumer, failures };
}

Deno.test("a message that is delivered twice takes effect once, and is acknowledged twice", async () => {
  await using branch = await database.connect();
  const { consumer, failures } = consumerOf(branch.open());
  const before = await countsOf(branch);
  const event = anEvent();
  const [one, two] = [deliver(event), deliver(event, { attempts: 2 })];
  await consumer.consume([one]);
  await consumer.consume([two]);
  assertEquals([one.told, two.told, failures], [["ack"], ["ack"], []]);
  const after = await countsOf(branch);
  assertEquals(after.activity - before.activity, 1);
});

Deno.test("a message that is delivered twice at once takes effect once", async () => {
  await using branch = await database.connect();
  const { consumer } = consumerOf(branch.open());
  const before = await countsOf(branch);
  const event = anEvent();
  const deliveries = Array.from({ length: 5 }, () => deliver(event));
  await Promise.all(deliveries.map((delivery) => consumer.consume([delivery])));
  assertEquals(deliveries.map(({ told }) => told), deliveries.map(() => ["ack"]));
  assertEquals((await countsOf(branch)).activity - before.activity, 1);
});

Deno.test("events that come in disorder leave the activity in the order of the versions", async () => {
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

Deno.test("a message that cannot be read goes to the dead letters at once, as it came and with what is wrong", async () => {
  await using branch = await database.connect();
  const { consumer, failures } = consumerOf(branch.open());
  const bodies = [{ type: "user.exploded" }, "text", null, undefined, { ...anEvent(), version: 0 }];
  for (const [index, body] of bodies.entries()) {
    const delivery = deliver(body, { id: `unread-${index}` });
    await consumer.consume([delivery]);
    assertEquals(delivery.told, ["ack"]);
  }
  const rows = await branch.asAdmin<{ body: unknown; error: string }>(
    "select body, error from dead_letters where message_id like 'unread-%' order by id",
  );
  assertEquals(rows.map(({ body }) => body), bodies.map((body) => body ?? null));
  for (const { error } of rows) assertMatch(error, /^Cannot read the message as it is no event/);
  assertEquals(failures.map(({ isDead }) => isDead), bodies.map(() => true));
});

Deno.test("a message whose statements the server refuses is tried five times, later each time, then buried", async () => {
  await using branch = await database.connect();
  const { consumer, failures } = consumerOf(branch.open(), () => [sql`select 1 / 0`]);
  const event = anEvent();
  const told: string[] = [];
  for (let attempts = 1; attempts <= MAX_ATTEMPTS; attempts++) {
    const delivery = deliver(event, { attempts });
    await consumer.consume([delivery]);
    told.push(...delivery.told);
  }
  assertEquals(told, [1_000, 2_000, 4_000, 8_000].map((ms) => `retry in ${ms} ms`).concat("ack"));
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

Deno.test("a message that fails as the database is away is tried a hundred times, and never buried unless that succeeds", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  await db.close({ timeoutMs: 0 });
  const { consumer, failures } = consumerOf(db);
  for (const attempts of [1, MAX_ATTEMPTS, MAX_OUTAGE_ATTEMPTS - 1, MAX_OUTAGE_ATTEMPTS]) {
    const delivery = deliver(anEvent(), { attempts });
    await consumer.consume([delivery]);
    assertEquals(delivery.told, [`retry in ${retryDelayMs(attempts, { random: () => 1 })} ms`]);
  }
  assert(failures.every(({ isDead }) => !isDead));
});

Deno.test("new messages take effect together, in one transaction and one round trip", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  let effects = 0;
  const { consumer, failures } = consumerOf(db, (events) => {
    effects++;
    return [recordActivity(events)];
  });
  const before = await countsOf(branch);
  const deliveries = Array.from({ length: 20 }, () => deliver(anEvent()));
  await consumer.consume(deliveries);
  assertEquals(deliveries.map(({ told }) => told), deliveries.map(() => ["ack"]));
  assertEquals([effects, failures], [1, []]);
  assertEquals((await countsOf(branch)).activity - before.activity, 20);
  const [marks] = await branch.asAdmin<{ transactions: number }>(`
    select count(distinct xmin::text)::int as transactions from user_activity
    where user_id in (${deliveries.map(({ body }) => `'${(body as UserEvent).userId}'`).join()})`);
  assertEquals(marks?.transactions, 1);
});

Deno.test("a message that fails, or that took effect before, does nothing to those that come with it", async () => {
  await using branch = await database.connect();
  await branch.asAdmin("alter table user_activity add constraint no_sevens check (version <> 7)");
  const { consumer, failures } = consumerOf(branch.open());
  const done = anEvent();
  await consumer.consume([deliver(done)]);
  const [good, bad, again, poison, late] = [
    deliver(anEvent()),
    deliver(anEvent({ version: 7 })),
    deliver(done),
    deliver({ type: "user.exploded" }, { id: "poison" }),
    deliver(anEvent(), { attempts: 3 }),
  ];
  const before = await countsOf(branch);
  await consumer.consume([good, bad, again, poison, late]);
  await branch.asAdmin("alter table user_activity drop constraint no_sevens");
  assertEquals(
    [good, bad, again, poison, late].map(({ told }) => told),
    [["ack"], ["retry in 1000 ms"], ["ack"], ["ack"], ["ack"]],
  );
  const after = await countsOf(branch);
  assertEquals([after.activity - before.activity, after.dead - before.dead], [2, 1]);
  assertEquals(failures.map(({ messageIds, isDead }) => [messageIds, isDead]), [
    [[bad.id], false],
    [["poison"], true],
  ]);
});

for (const attempts of [1, 2]) {
  Deno.test(`an outage is tried and told once for all messages of attempt ${attempts}, poison too, which come again`, async () => {
    await using branch = await database.connect();
    const db = branch.open();
    await db.close({ timeoutMs: 0 });
    let units = 0;
    const counting = {
      transaction: ((work, options) => {
        units++;
        return db.transaction(work, options);
      }) as Database["transaction"],
    };
    const { consumer, failures } = consumerOf(counting);
    const deliveries = Array.from({ length: 20 }, () => deliver(anEvent(), { attempts }));
    const poison = deliver({ type: "user.exploded" }, { id: "poison", attempts });
    await consumer.consume([poison, ...deliveries]);
    for (const { told } of [poison, ...deliveries]) {
      assertEquals(told, [`retry in ${1_000 * attempts} ms`]);
    }
    assertEquals(units, 1);
    const told = failures.flatMap(({ messageIds }) => messageIds);
    assertEquals(told.toSorted(), [poison, ...deliveries].map(({ id }) => id).sort());
    assert(failures.length <= 2, `it is told ${failures.length} times`);
  });
}

Deno.test("a poison that a server cannot store, or that bears another's name, is buried all the same", async () => {
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
  assertEquals(deliveries.map(({ told }) => told), deliveries.map(() => ["ack"]));
  const rows = await branch.asAdmin<{ body: unknown; error: string }>(
    "select body, error from dead_letters where message_id like 'hard-%' order by message_id",
  );
  const unstorable = bodies.slice(0, 2).map((body) => JSON.stringify(body));
  assertEquals(rows.map(({ body }) => body), [...unstorable, ...bodies.slice(2)]);
  for (const { error } of rows) {
    assertMatch(error, /^Cannot read the message[^\p{Cc}]+$/u);
    assert(error.length <= 4_000, `${error.length} characters`);
  }
  // The name is free for the event itself.
  const own = deliver(event);
  await consumer.consume([own]);
  await consumer.bury(deliver(event, { id: "delivered twice" }), "given up");
  await consumer.bury(deliver(event, { id: "delivered thrice" }), "given up");
  const dead = await branch.asAdmin(
    `select message_id from dead_letters where error = 'given up'`,
  );
  assertEquals([own.told, dead], [["ack"], [{ message_id: event.id }]]);
});

Deno.test("a message of which nobody lives to tell the end is buried after a hundred times in hand", async () => {
  await using branch = await database.connect();
  const { consumer, failures } = consumerOf(branch.open());
  const delivery = deliver(anEvent(), { attempts: MAX_OUTAGE_ATTEMPTS + 1 });
  await consumer.consume([delivery]);
  assertEquals(delivery.told, ["ack"]);
  assertMatch(failures[0]?.error ?? "", /^Cannot deliver the message: it was in hand 100 times/);
});

Deno.test("of messages whose work is cut nothing is said, and nothing is done", async () => {
  await using branch = await database.connect();
  await using blocking = branch.open().session();
  await blocking.query(sql`lock table user_activity in access exclusive mode`);
  const { consumer, failures } = consumerOf(branch.open());
  const deliveries = [deliver(anEvent()), deliver(anEvent()), deliver(anEvent(), { attempts: 2 })];
  const cut = new AbortController();
  const consumed = consumer.consume(deliveries, { signal: cut.signal });
  const isWaiting = async () =>
    (await branch.asAdmin(`
      select from pg_locks where not granted and relation = 'user_activity'::regclass
        and database = (select oid from pg_database where datname = current_database())`))
      .length === 1;
  assert(await pollUntil(isWaiting, { deadlineMs: 10_000, intervalMs: 10 }));
  cut.abort();
  await consumed;
  await blocking.rollback();
  assertEquals(deliveries.map(({ told }) => told), [[], [], []]);
  assertEquals(failures, []);
});

Deno.test("the delay doubles, is at least half of its bound, and at most a quarter of an hour", () => {
  const least = (attempts: number) => retryDelayMs(attempts, { random: () => 0 });
  const most = (attempts: number) => retryDelayMs(attempts, { random: () => 1 });
  assertEquals([1, 2, 3, 10, 100].map(most), [1_000, 2_000, 4_000, 512_000, 900_000]);
  assertEquals([1, 2, 3, 10, 100].map(least), [500, 1_000, 2_000, 256_000, 450_000]);
});
