/** The consumer in real workerd: batches in the form of Cloudflare Queues, and miniflare's queue from end to end. */
import { assert, assertEquals } from "@std/assert";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { createUser, jsonRequest } from "../http/requests.ts";
import { countsOf, writeEvents } from "../queue/events.ts";
import { BATCH_SENDER, type BatchAnswer } from "../support/batch_sender.ts";
import { hold } from "../support/fault_actions.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost, type WorkerHost } from "../support/worker_host.ts";

const QUEUES = {
  producers: { USER_EVENTS: "user-events" },
  consumers: {
    "user-events": {
      maxBatchSize: 20,
      maxBatchTimeout: 0.05,
      maxRetries: 2,
      retryDelay: 0,
      deadLetterQueue: "user-events-dead",
    },
    "user-events-dead": { maxBatchSize: 10, maxBatchTimeout: 0.05 },
  },
};

/** The test sends the batches. */
const direct = await startWorkerHost(await localDatabase(), {
  name: "batches",
  front: BATCH_SENDER,
});
/** From the request to the activity, without and with Durable Objects. */
const hosts = await Promise.all([
  startWorkerHost(await localDatabase(), {
    name: "queue, Worker",
    front: BATCH_SENDER,
    queues: QUEUES,
  }),
  startWorkerHost(await localDatabase(), {
    name: "queue, Durable Object",
    front: BATCH_SENDER,
    queues: QUEUES,
    env: { DATABASE_OBJECT_SHARDS: "1", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);

Deno.test.afterAll(async () => {
  await Promise.all([direct, ...hosts].map((host) => host.stop()));
});

interface Message {
  readonly id: string;
  readonly body: unknown;
  readonly attempts: number;
}

let events = 0;

function message(
  { userId = crypto.randomUUID(), version = 1, attempts = 1 }: {
    userId?: string;
    version?: number;
    attempts?: number;
  } = {},
): Message {
  const body = {
    id: String(1_000_000 + ++events),
    type: "user.updated",
    userId,
    version,
    occurredAt: new Date().toISOString(),
    data: { email: "ann@example.org", name: "Ann" },
  };
  return { id: crypto.randomUUID(), body, attempts };
}

async function send(
  messages: readonly Message[],
  { queue = "user-events" }: { queue?: string } = {},
): Promise<BatchAnswer> {
  const response = await direct.request(`/_queue/${queue}`, jsonRequest("POST", messages));
  assertEquals(response.status, 200, await response.clone().text());
  return await response.json();
}

async function versionsOf(host: WorkerHost, userId: string): Promise<number[]> {
  const rows = await host.branch.asAdmin<{ version: number }>(
    `select version from user_activity where user_id = '${userId}' order by version`,
  );
  return rows.map(({ version }) => version);
}

direct.test("a batch that is out of order, with duplicates and an invalid message, is acked as a whole, and each message takes effect once", async () => {
  const before = await countsOf(direct.branch);
  const userId = crypto.randomUUID();
  const [one, two, three] = [1, 2, 3].map((version) => message({ userId, version }));
  const again = { ...two!, id: crypto.randomUUID() };
  const invalid = { id: crypto.randomUUID(), body: { type: "user.exploded" }, attempts: 1 };
  const batch = [three!, two!, invalid, again, one!];
  const answer = await send(batch);
  assertEquals(answer.outcome, "ok");
  assertEquals(answer.explicitAcks.toSorted(), batch.map(({ id }) => id).sort());
  assertEquals(answer.retryMessages, []);
  assertEquals(await versionsOf(direct, userId), [1, 2, 3]);
  const after = await countsOf(direct.branch);
  assertEquals(
    [after.activity - before.activity, after.keys - before.keys, after.dead - before.dead],
    [3, 3, 1],
  );
  const [dead] = await direct.branch.asAdmin<{ body: unknown }>(
    `select body from dead_letters where message_id = '${invalid.id}'`,
  );
  assertEquals(dead?.body, invalid.body);
});

direct.test("a failed message is retried later, and the others of its batch are acked", async () => {
  await direct.branch.asAdmin(
    "alter table user_activity add constraint no_sevens check (version <> 7)",
  );
  try {
    const [good, bad] = [message(), message({ version: 7, attempts: 4 })];
    const answer = await send([bad, good]);
    assertEquals(answer.explicitAcks, [good.id]);
    const [retry] = answer.retryMessages;
    assertEquals(retry?.msgId, bad.id);
    const { delaySeconds = 0 } = retry ?? {};
    assert(delaySeconds >= 4 && delaySeconds <= 8, `the retry delay is ${delaySeconds} s`);
    // The last of its attempts.
    const last = await send([{ ...bad, attempts: 5 }]);
    assertEquals([last.explicitAcks, last.retryMessages], [[bad.id], []]);
    const [dead] = await direct.branch.asAdmin<{ error: string }>(
      `select error from dead_letters where body->>'id' = '${(bad.body as { id: string }).id}'`,
    );
    assert(dead?.error.includes("no_sevens"), dead?.error);
  } finally {
    await direct.branch.asAdmin("alter table user_activity drop constraint no_sevens");
  }
});

direct.test("while backends are being killed no message is lost or takes effect twice", async () => {
  const before = await countsOf(direct.branch);
  const userId = crypto.randomUUID();
  let left = Array.from({ length: 40 }, (_, index) => message({ userId, version: index + 1 }));
  for (let round = 0; left.length > 0 && round < 20; round++) {
    const answering = send(left);
    for (let kill = 0; round < 3 && kill < 3; kill++) {
      await direct.branch.asAdmin(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where usename = 'user_service' and datname = current_database()`,
      );
    }
    const { retryMessages } = await answering;
    left = left.filter(({ id }) => retryMessages.some(({ msgId }) => msgId === id));
  }
  assertEquals(left, []);
  assertEquals((await versionsOf(direct, userId)).length, 40);
  assertEquals((await countsOf(direct.branch)).dead, before.dead);
});

direct.test("a message from the runtime's dead letter queue becomes a dead letter", async () => {
  const given = message();
  const answer = await send([given], { queue: "user-events-dead" });
  assertEquals(answer.explicitAcks, [given.id]);
  const [dead] = await direct.branch.asAdmin<{ body: unknown; error: string }>(
    `select body, error from dead_letters where body->>'id' = '${
      (given.body as { id: string }).id
    }'`,
  );
  assertEquals(dead?.body, given.body);
  assert(dead?.error.includes("Cloudflare Queues used up its retries"), dead?.error);
});

direct.test("a batch is acked without waiting for its connection to close", async () => {
  const goodbye = direct.branch.relay.when({ direction: "toServer", kind: "Terminate" }, hold());
  const given = message();
  const answer = await send([given]);
  await goodbye.struck();
  assertEquals(answer.explicitAcks, [given.id]);
  assertEquals(direct.branch.relay.openConnections.length, 1);
  goodbye.release();
});

for (const host of hosts) {
  host.test("every change to a user becomes an entry of its activity", async () => {
    const { id } = await createUser(host.request);
    const patch = await host.request(`/users/${id}`, jsonRequest("PATCH", { name: "Eve" }));
    await patch.body?.cancel();
    const arrived = await pollUntil(async () => (await versionsOf(host, id)).length === 2, {
      deadlineMs: 20_000,
      intervalMs: 50,
    });
    assert(arrived, JSON.stringify(await countsOf(host.branch)));
    const response = await host.request(`/users/${id}/activity`);
    const { activity, next } = await response.json();
    assertEquals(
      activity.map(({ version, type }: { version: number; type: string }) => [version, type]),
      [[1, "user.created"], [2, "user.updated"]],
    );
    assertEquals(next, null);
    assertEquals((await countsOf(host.branch)).waiting, 0);
  });

  host.test("events that were never dispatched are delivered by the sweep", async () => {
    const [id] = await writeEvents(host.branch, { users: 1, versions: 250 });
    const swept = await host.request("/_scheduled");
    assertEquals((await swept.json()).outcome, "ok");
    assertEquals((await countsOf(host.branch)).waiting, 0);
    const arrived = await pollUntil(async () => (await versionsOf(host, id!)).length === 250, {
      deadlineMs: 60_000,
      intervalMs: 100,
    });
    assert(arrived, JSON.stringify(await countsOf(host.branch)));
  });
}
