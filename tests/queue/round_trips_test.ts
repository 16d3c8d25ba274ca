/** Round trips of writing events and of consuming them, counted at the relay. */
import { assertEquals } from "@std/assert";
import { type Database, sql } from "../../src/db/mod.ts";
import { Consumer } from "../../src/queue/consumer.ts";
import { PostgresQueue } from "../../src/queue/postgres_queue.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import { parseUserEvent } from "../../src/users/user_event.ts";
import { newUserId } from "../../src/users/user_id.ts";
import { changeUser, createUser, deleteUser } from "../../src/users/user_store.ts";
import { localDatabase } from "../support/local_database.ts";
import { countsOf, writeEvents } from "./events.ts";

const database = await localDatabase();

/**
 * A database and a counter: `sent` returns the number of messages to the server since its last call. `warm` opens or uses
 * a connection, because on one that was idle for over a second COMMIT takes a flight of its own.
 */
async function counted() {
  let messages = 0;
  const branch = await database.connect({
    observe: {
      message(_, direction) {
        if (direction === "toServer") messages++;
      },
    },
  });
  const db = branch.open();
  const sent = () => {
    const count = messages;
    messages = 0;
    return count;
  };
  const warm = async () => {
    await db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true });
    sent();
  };
  return { branch, db, sent, warm };
}

Deno.test("a change to a user, its event and the commit are one round trip", async () => {
  const { branch, db, sent, warm } = await counted();
  await using _ = branch;
  await warm();
  const id = newUserId();
  const trips: number[] = [];
  await createUser(db.session(), id, { email: `${id}@example.org`, name: "Ann" });
  trips.push(sent());
  await changeUser(db.session(), id, { name: "Anna" }, "any");
  trips.push(sent());
  await deleteUser(db.session(), id, "any");
  trips.push(sent());
  assertEquals(trips, [1, 1, 1]);
  assertEquals((await countsOf(branch)).waiting, 3);
  await branch.asAdmin("delete from user_events");
});

Deno.test("a batch of messages is two round trips: one acks the last batch and takes this one, one commits its effects", async () => {
  const { branch, db, sent, warm } = await counted();
  await using _ = branch;
  await writeEvents(branch, { users: 30, versions: 1 });
  await warm();
  const consumer = new Consumer({
    db,
    name: "activity",
    parse: parseUserEvent,
    handler: (events) => [recordActivity(events)],
    onFailure: () => {},
  });
  const trips: number[] = [];
  const third = Promise.withResolvers<void>();
  const queue = new PostgresQueue({
    db,
    concurrency: 1,
    batchSize: 10,
    pollMs: 1_000,
    onFailure: () => {},
    async consume(deliveries, options) {
      await consumer.consume(deliveries, options);
      trips.push(sent());
      if (trips.length === 3) third.resolve();
    },
  });
  await third.promise;
  await queue.stop({ timeoutMs: 10_000 });
  assertEquals(trips, [2, 2, 2]);
  // Acks the third batch.
  assertEquals(sent(), 1);
  assertEquals((await countsOf(branch)).waiting, 0);
});

Deno.test("a user that is created with the address of a deleted one gets events under its own id", async () => {
  await using branch = await database.connect();
  const db: Database = branch.open();
  const [one, two] = [newUserId(), newUserId()];
  const user = { email: "again@example.org", name: "Ann" };
  await createUser(db.session(), one, user);
  await deleteUser(db.session(), one, "any");
  await createUser(db.session(), two, user);
  const rows = await branch.asAdmin<{ user_id: string; version: number; type: string }>(
    "select user_id, version, type from user_events order by id",
  );
  assertEquals(rows.map(({ user_id, version, type }) => [user_id, version, type]), [
    [one, 1, "user.created"],
    [one, 2, "user.deleted"],
    [two, 1, "user.created"],
  ]);
  await branch.asAdmin("delete from user_events");
});
