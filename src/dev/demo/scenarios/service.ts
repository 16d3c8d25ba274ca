/** Other users of the pool: the consumer of events, and the service while it shuts down. */
import { activityConsumer } from "../../../service/activity_consumer.ts";
import { logMessages } from "../../../service/failure_log.ts";
import { type Database, type Session, sql } from "../../../db/mod.ts";
import { start } from "../../../deno/service.ts";
import { createLog } from "../../../ops/log.ts";
import { PostgresQueue } from "../../../queue/postgres_queue.ts";
import type { Delivery } from "../../../queue/transport.ts";
import { entryOf, makeToken } from "../../dev_token.ts";
import { createUser } from "../../../users/user_store.ts";
import { newUserId, type UserId } from "../../../users/user_id.ts";
import { pollUntil } from "../../../library/testing/postgres/poll.ts";
import type { Scenario } from "../runner.ts";
import type { ServerView } from "../server_view.ts";

const WAIT = { deadlineMs: 5_000, intervalMs: 10 };

async function addUser(db: Database, name: string): Promise<UserId> {
  const id = newUserId();
  await db.transaction((session) => createUser(session, id, { email: `${id}@example.com`, name }));
  return id;
}

export const consumer: Scenario = {
  name: "consumer",
  shows: "A queue consumer uses sessions of the same database; an event is applied once",
  async run({ db, environment: { server }, check }) {
    const id = await addUser(db, "Ada");
    const { consume } = activityConsumer(db, { onFailure: logMessages(createLog("error")) });
    const deliveries: Delivery[] = [];
    const errors: string[] = [];
    const queue = new PostgresQueue({
      db,
      concurrency: 2,
      pollMs: 100,
      consume(batch, options) {
        deliveries.push(...batch);
        return consume(batch, options);
      },
      onFailure: (error) => errors.push(String(error)),
    });
    const isDelivered = async () =>
      await server.value("select count(*)::int from user_events where user_id = $1", [id]) === 0;
    check("The event leaves the outbox", await pollUntil(isDelivered, WAIT), true);
    await queue.stop({ timeoutMs: 1_000 });
    await consume(deliveries);
    const effects = await server.value(
      "select count(*)::int from user_activity where user_id = $1",
      [id],
    );
    check("Delivered twice, it was applied once", [deliveries.length, effects], [1, 1]);
    check("Nothing failed", errors, []);
  },
};

export const shutdown: Scenario = {
  name: "shutdown",
  shows: "A graceful shutdown answers the running request, then closes every connection",
  async run({ db, environment: { env, server }, check }) {
    const id = await addUser(db, "Grace");
    const token = makeToken();
    const API_TOKENS = JSON.stringify([await entryOf(token, { name: "demo" })]);
    const service = await start(
      { ...env, API_TOKENS, PORT: "0", LOG_LEVEL: "error", QUEUE_CONCURRENCY: "0" },
      { hostname: "127.0.0.1" },
    );
    const url = `${service.url}/users/${id}`;
    try {
      await using blocking = db.session();
      await lockUser(blocking, id);
      const answer = fetch(url, {
        method: "PATCH",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({ name: "Grace Hopper" }),
      });
      const isWaiting = () => isOneWaiting(server);
      check("A request waits for a row lock", await pollUntil(isWaiting, WAIT), true);
      const ended = service.shutdown();
      await blocking.rollback();
      const response = await answer;
      await response.body?.cancel();
      check("It is answered after the shutdown has begun", response.status, 200);
      await ended;
    } finally {
      await service.shutdown();
    }
    const refused = await fetch(url).then(() => false, () => true);
    check("A later request cannot connect", refused, true);
    check("PostgreSQL has only the scenario's own connection", await server.activity(), {
      idle: 1,
    });
  },
};

async function lockUser(session: Session, id: UserId): Promise<void> {
  await session.query(sql`select from users where id = ${id} for update`);
}

async function isOneWaiting(server: ServerView): Promise<boolean> {
  return await server.value(
    "select count(*)::int from pg_stat_activity where wait_event_type = 'Lock'",
  ) === 1;
}
