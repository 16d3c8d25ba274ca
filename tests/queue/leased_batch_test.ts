import { assertEquals } from "@std/assert";
import { LeasedBatch } from "../../src/queue/leased_batch.ts";
import { FIRST_USER, takeFirstEvents } from "../../src/queue/outbox.ts";
import { localDatabase } from "../support/local_database.ts";
import { writeEvents } from "./events.ts";

const database = await localDatabase();

/** Leases events, reports the outcomes, and gives what is left of them in the outbox, ordered by their delay. */
async function leftAfter(
  events: number,
  report: (batch: LeasedBatch) => void,
): Promise<{ statements: number; left: unknown[] }> {
  await using branch = await database.connect();
  await writeEvents(branch, { users: events, versions: 1 });
  const db = branch.open();
  const take = takeFirstEvents({ limit: events, leaseMs: 60_000, after: FIRST_USER });
  const [rows] = await db.transaction((session) => session.commit([take]));
  const batch = new LeasedBatch(rows);
  report(batch);
  const statements = batch.outcomeStatements();
  if (statements.length > 0) await db.transaction((session) => session.commit(statements));
  // The length of the lease is a minute; the test's retries are an hour away.
  const left = await branch.asAdmin(`
    select attempts, case when due_at <= now() then 'due' when due_at < now() + interval '2 min' then 'leased'
      else 'delayed' end as state
    from user_events order by due_at`);
  await branch.asAdmin("delete from user_events");
  return { statements: statements.length, left };
}

const DUE = { attempts: 0, state: "due" };
const DELAYED = { attempts: 1, state: "delayed" };
const HOUR_MS = 3_600_000;

Deno.test("one event alone is returned if it has no outcome", async () => {
  assertEquals(await leftAfter(1, () => {}), { statements: 1, left: [DUE] });
});

Deno.test("one event alone is delayed by its retry", async () => {
  const { left } = await leftAfter(1, ({ deliveries: [one] }) => one!.retry({ delayMs: HOUR_MS }));
  assertEquals(left, [DELAYED]);
});

Deno.test("one event alone is deleted by its ack", async () => {
  const answer = await leftAfter(1, ({ deliveries: [one] }) => one!.ack());
  assertEquals(answer, { statements: 1, left: [] });
});

Deno.test("each event of a batch gets its own outcome, in two statements", async () => {
  const answer = await leftAfter(4, ({ deliveries: [one, two, three] }) => {
    one!.ack();
    two!.retry({ delayMs: HOUR_MS });
    three!.retry({ delayMs: HOUR_MS, wasTried: false });
  });
  assertEquals(answer.statements, 2);
  assertEquals(answer.left.toSorted((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1), [
    { attempts: 0, state: "delayed" },
    DUE,
    DELAYED,
  ]);
});

Deno.test("after its lease an event without an ack is left as it is, and an acked one is deleted", async () => {
  const { left } = await leftAfter(3, (batch) => {
    const [one, two] = batch.deliveries;
    one!.ack();
    two!.retry({ delayMs: HOUR_MS });
    batch.expire();
  });
  const leased = { attempts: 1, state: "leased" };
  assertEquals(left, [leased, leased]);
});

Deno.test("a batch without events has no statement", () => {
  assertEquals(new LeasedBatch([]).outcomeStatements(), []);
});
