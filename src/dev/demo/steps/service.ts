/** Who else uses the pool: the consumer of events, and the service at its end. */
import { activityConsumer } from "../../../service/activity_consumer.ts";
import { logMessages } from "../../../service/failure_log.ts";
import { type Database, type Session, sql } from "../../../db/mod.ts";
import { start } from "../../../deno/service.ts";
import { createLog } from "../../../ops/log.ts";
import { PostgresQueue } from "../../../queue/postgres_queue.ts";
import type { Delivery } from "../../../queue/transport.ts";
import { createUser } from "../../../users/user_store.ts";
import { newUserId, type UserId } from "../../../users/user_id.ts";
import { pollUntil } from "../../poll.ts";
import type { Step } from "../play.ts";
import type { ServerView } from "../server_view.ts";

const PATIENCE = { deadlineMs: 5_000, intervalMs: 10 };

async function addUser(db: Database, name: string): Promise<UserId> {
  const id = newUserId();
  await db.transaction((session) => createUser(session, id, { email: `${id}@example.com`, name }));
  return id;
}

export const consumer: Step = {
  name: "consumer",
  shows: "A queue's consumer works in sessions of the same factory; an event takes effect once",
  async run({ db, world: { server }, check }) {
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
    check("The event leaves the outbox", await pollUntil(isDelivered, PATIENCE), true);
    await queue.stop({ timeoutMs: 1_000 });
    await consume(deliveries);
    const effects = await server.value(
      "select count(*)::int from user_activity where user_id = $1",
      [id],
    );
    check("Delivered twice, it has taken effect once", [deliveries.length, effects], [1, 1]);
    check("Nothing failed", errors, []);
  },
};

export const shutdown: Step = {
  name: "shutdown",
  shows: "A graceful shutdown answers the request that is under way, then closes every connection",
  async run({ db, world: { env, server }, check }) {
    const id = await addUser(db, "Grace");
    const service = start(
      { ...env, PORT: "0", LOG_LEVEL: "error", QUEUE_CONCURRENCY: "0" },
      { hostname: "127.0.0.1" },
    );
    const url = `${service.url}/users/${id}`;
    try {
      await using blocking = db.session();
      await lockUser(blocking, id);
      const answer = fetch(url, {
        method: "PATCH",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name: "Grace Hopper" }),
      });
      const isWaiting = () => isOneWaiting(server);
      check("A request waits for a row lock", await pollUntil(isWaiting, PATIENCE), true);
      const ended = service.shutdown();
      await blocking.rollback();
      const response = await answer;
      await response.body?.cancel();
      check("It is answered once the shutdown has begun", response.status, 200);
      await ended;
    } finally {
      await service.shutdown();
    }
    const refused = await fetch(url).then(() => false, () => true);
    check("A later request finds nobody", refused, true);
    check("PostgreSQL has the step's own connection only", await server.activity(), { idle: 1 });
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
