/** The events of several tenants: each takes effect within its own. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describeQueue, retryDeadLetter } from "../../src/dev/queue.ts";
import { dispatchEvents } from "../../src/queue/cloudflare_queue.ts";
import { PostgresQueue } from "../../src/queue/postgres_queue.ts";
import type { Delivery } from "../../src/queue/transport.ts";
import { pruneKeys } from "../../src/queue/prune.ts";
import { activityConsumer } from "../../src/service/activity_consumer.ts";
import { type Database, deleteOldKeys, sql } from "../../src/db/mod.ts";
import { dropEvents, FIRST_USER, takeFirstEvents } from "../../src/queue/outbox.ts";
import { EVERY_TENANT, tenantLocals } from "../../src/tenant.ts";
import { createUser } from "../../src/users/user_store.ts";
import { newUserId, type UserId } from "../../src/users/user_id.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";
import { countsOf } from "./events.ts";

const database = await localDatabase();

const TENANTS = ["acme", "default", "globex"];

function queueTest(
  name: string,
  run: (branch: LocalBranch, db: Database) => Promise<void>,
): void {
  Deno.test(name, async () => {
    await using branch = await database.connect();
    await branch.asAdmin(
      "truncate users, user_events, user_activity, dead_letters, transaction_keys",
    );
    await run(branch, branch.open());
  });
}

async function addUsers(db: Database): Promise<Record<string, UserId>> {
  const ids: Record<string, UserId> = {};
  for (const tenant of TENANTS) {
    const id = ids[tenant] = newUserId();
    const user = { email: "same@example.com", name: tenant };
    await db.transaction((session) => createUser(session, id, user), {
      locals: tenantLocals(tenant),
    });
  }
  return ids;
}

function tenantsOf(branch: LocalBranch, table: string, by = "tenant"): Promise<unknown[]> {
  return branch.asAdmin(`select tenant, ${by} as value from ${table} order by 1, 2`);
}

const quiet = { onFailure: () => {} };

queueTest(
  "events of several tenants are consumed in one transaction, each as its tenant",
  async (branch, db) => {
    const ids = await addUsers(db);
    assertEquals(
      await tenantsOf(branch, "user_events"),
      TENANTS.map((tenant) => ({ tenant, value: tenant })),
    );
    const deliveries: Delivery[] = [];
    const { consume } = activityConsumer(db, quiet);
    const queue = new PostgresQueue({
      db,
      concurrency: 1,
      pollMs: 100,
      consume(batch, options) {
        deliveries.push(...batch);
        return consume(batch, options);
      },
      ...quiet,
    });
    const isDone = async () => (await countsOf(branch)).waiting === 0;
    assert(await pollUntil(isDone, { deadlineMs: 10_000, intervalMs: 10 }));
    await queue.stop({ timeoutMs: 1_000 });
    const expected = TENANTS.map((tenant) => ({ tenant, value: ids[tenant]! }));
    assertEquals(await tenantsOf(branch, "user_activity", "user_id"), expected);
    const keys = await branch.asAdmin("select tenant from transaction_keys order by tenant");
    assertEquals(keys, TENANTS.map((tenant) => ({ tenant })));
    // Again, together and one by one: nothing is applied twice.
    await consume(deliveries);
    await consume(deliveries.map((delivery) => ({ ...delivery, attempts: 2 })));
    assertEquals((await countsOf(branch)).activity, TENANTS.length);
  },
);

queueTest(
  "a message says its tenant, and one of before there were tenants is of default",
  async (branch, db) => {
    const ids = await addUsers(db);
    const sent: unknown[] = [];
    await dispatchEvents(db, {
      sendBatch: (messages) => Promise.resolve(void sent.push(...messages)),
    });
    assertEquals((await countsOf(branch)).waiting, 0);
    const bodies = sent.map((message) => (message as { body: Record<string, unknown> }).body);
    assertEquals(bodies.map(({ tenant }) => tenant).sort(), TENANTS);
    const { tenant: _, ...before } = bodies.find(({ userId }) => userId === ids["default"])!;
    const delivery = { id: "m", body: before, attempts: 1, ack() {}, retry() {} };
    await activityConsumer(db, quiet).consume([delivery]);
    assertEquals(await tenantsOf(branch, "user_activity", "user_id"), [
      { tenant: "default", value: ids["default"] },
    ]);
  },
);

queueTest(
  "a dead letter keeps its tenant, also if the consumer cannot read it, and goes back into the queue with it",
  async (branch, db) => {
    const [acme, globex] = [newUserId(), newUserId()];
    const bodyOf = (userId: UserId, tenant: unknown) => ({
      id: "71",
      tenant,
      userId,
      version: 1,
      type: "user.exploded",
      occurredAt: new Date().toISOString(),
      data: {},
    });
    const consumer = activityConsumer(db, quiet);
    const deliver = (id: string, body: unknown) =>
      consumer.deadLetter({ id, body, attempts: 1, ack() {}, retry() {} }, "it failed");
    await deliver("a", bodyOf(acme, "acme"));
    await deliver("b", bodyOf(globex, "*"));
    await deliver("c", "no event");
    assertEquals(await tenantsOf(branch, "dead_letters", "message_id"), [
      { tenant: "acme", value: "a" },
      { tenant: "default", value: "b" },
      { tenant: "default", value: "c" },
    ]);
    const text = await describeQueue(db);
    assertMatch(text, /^dead letters {2}3$/m);
    assertMatch(text, /Z {2}acme {2}attempts 1 {2}it failed$/m);
    const [letter] = await branch.asAdmin<{ id: bigint }>(
      "select id from dead_letters where tenant = 'acme'",
    );
    await retryDeadLetter(db, String(letter!.id));
    assertEquals(await tenantsOf(branch, "user_events", "user_id"), [{
      tenant: "acme",
      value: acme,
    }]);
  },
);

queueTest("old keys of all tenants are pruned", async (branch, db) => {
  await branch.asAdmin(`insert into transaction_keys (key, tenant, created_at)
    select tenant || age, tenant, now() - age * interval '1 day'
    from unnest(array['acme', 'default']) as tenant, unnest(array[1, 31]) as age`);
  await pruneKeys(db);
  assertEquals(await tenantsOf(branch, "transaction_keys", "key"), [
    { tenant: "acme", value: "acme1" },
    { tenant: "default", value: "default1" },
  ]);
});

queueTest(
  "the queue's own work on all tenants finds its rows by their indexes",
  async (branch, db) => {
    await branch.asAdmin(`insert into transaction_keys (key, tenant)
    select 'activity ' || i, case when i % 2 = 0 then 'acme' else 'default' end
    from generate_series(1, 50000) as i`);
    await branch.asAdmin(`insert into user_events (tenant, user_id, version, type, data)
    select 'acme', md5(i::text)::uuid, 1, 'user.created', '{}' from generate_series(1, 50000) as i`);
    await branch.asAdmin("analyze transaction_keys");
    await branch.asAdmin("analyze user_events");
    const take = takeFirstEvents({ limit: 10, leaseMs: 1, after: FIRST_USER });
    const drop = dropEvents([{ id: "1", lease: "2026-01-01" }]);
    const prune = deleteOldKeys({ olderThanMs: -1_000 });
    for (
      const [statement, index] of [
        [prune, "transaction_keys_created_at"],
        [take, "user_events_user_id_version_key"],
        [drop, "user_events_(?:pkey|due_at)"],
      ] as const
    ) {
      const plan = await db.transaction(
        (session) => session.query(sql<{ "QUERY PLAN": string }>`explain ${statement}`),
        { locals: EVERY_TENANT },
      );
      const text = plan.map((row) => row["QUERY PLAN"]).join("\n");
      assertMatch(text, new RegExp(`Index Scan using ${index} on `));
    }
  },
);
