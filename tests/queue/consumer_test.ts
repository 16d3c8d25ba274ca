import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Database, sql } from "../../src/db/mod.ts";
import {
  Consumer,
  MAX_ATTEMPTS,
  MAX_OUTAGE_ATTEMPTS,
  type MessageFailure,
  retryDelayMs,
} from "../../src/queue/consumer.ts";
import type { Delivery } from "../../src/queue/transport.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import type { UserEvent } from "../../src/users/user_event.ts";
import { newUserId } from "../../src/users/user_id.ts";
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
  effect: (event: UserEvent) => ReturnType<typeof sql>[] = (event) => [recordActivity(event)],
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
  await consumer.consume(one);
  await consumer.consume(two);
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
  await Promise.all(deliveries.map(consumer.consume));
  assertEquals(deliveries.map(({ told }) => told), deliveries.map(() => ["ack"]));
  assertEquals((await countsOf(branch)).activity - before.activity, 1);
});

Deno.test("events that come in disorder leave the activity in the order of the versions", async () => {
  await using branch = await database.connect();
  const { consumer } = consumerOf(branch.open());
  const userId = newUserId();
  for (const version of [3, 1, 4, 2]) {
    await consumer.consume(deliver(anEvent({ userId, version, type: "user.updated" })));
  }
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
    await consumer.consume(delivery);
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
    await consumer.consume(delivery);
    told.push(...delivery.told);
  }
  assertEquals(told, [1_000, 2_000, 4_000, 8_000].map((ms) => `retry in ${ms} ms`).concat("ack"));
  const [row] = await branch.asAdmin(
    `select error, attempts from dead_letters where message_id = '${event.id}'`,
  );
  assertEquals(row, { error: "ServerError: division by zero", attempts: MAX_ATTEMPTS });
  assertEquals(failures.at(-1)?.isDead, true);
  const [inbox] = await branch.asAdmin(
    `select count(*)::int as count from inbox where message_id = '${event.id}'`,
  );
  assertEquals(inbox, { count: 0 });
});

Deno.test("a message that fails as the database is away is tried a hundred times, and never buried unless that succeeds", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  await db.close({ timeoutMs: 0 });
  const { consumer, failures } = consumerOf(db);
  for (const attempts of [1, MAX_ATTEMPTS, MAX_OUTAGE_ATTEMPTS - 1, MAX_OUTAGE_ATTEMPTS]) {
    const delivery = deliver(anEvent(), { attempts });
    await consumer.consume(delivery);
    assertEquals(delivery.told, [`retry in ${retryDelayMs(attempts, { random: () => 1 })} ms`]);
  }
  assert(failures.every(({ isDead }) => !isDead));
});

Deno.test("the delay doubles, is at least half of its bound, and at most a quarter of an hour", () => {
  const least = (attempts: number) => retryDelayMs(attempts, { random: () => 0 });
  const most = (attempts: number) => retryDelayMs(attempts, { random: () => 1 });
  assertEquals([1, 2, 3, 10, 100].map(most), [1_000, 2_000, 4_000, 512_000, 900_000]);
  assertEquals([1, 2, 3, 10, 100].map(least), [500, 1_000, 2_000, 256_000, 450_000]);
});
