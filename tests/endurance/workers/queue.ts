/**
 * Events through the Worker's queue consumer while random backends are terminated. Half of them take the whole way: outbox,
 * sweep, miniflare's queue. The others come in batches that meet in the isolate, each event in two of them, and again until
 * it is acked. Every event must take effect once.
 */
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";
import { jsonRequest } from "../../http/requests.ts";
import { writeEvents } from "../../queue/events.ts";
import { BATCH_SENDER, type BatchAnswer } from "../../support/batch_sender.ts";
import { localDatabase } from "../../support/local_database.ts";
import { startWorkerHost, type WorkerHost } from "../../support/worker_host.ts";
import { BackendKiller } from "../backend_killer.ts";
import { seededRandom } from "../random.ts";
import type { Scenario } from "../scenario.ts";
import { atLeast, atMost, type Measure, zero } from "../verdict.ts";
import { BackendWatch } from "./backend_watch.ts";

export interface WorkersQueueOptions {
  readonly users: number;
  /** Events of each user. */
  readonly versions: number;
  /** Time from one terminated backend to the next. */
  readonly killEveryMs: number;
  /** Longest wait for the effects. */
  readonly deadlineMs: number;
  /** Chooses the backends. */
  readonly seed: number;
}

/** As in wrangler.toml: `max_concurrency` and `max_batch_size`. */
const BATCHES_AT_ONCE = 4;
const BATCH_SIZE = 50;

const QUEUES = {
  producers: { USER_EVENTS: "user-events" },
  consumers: {
    "user-events": {
      maxBatchSize: BATCH_SIZE,
      maxBatchTimeout: 0.05,
      maxRetries: 100,
      retryDelay: 0,
      deadLetterQueue: "user-events-dead",
    },
    "user-events-dead": { maxBatchSize: 10, maxBatchTimeout: 0.05, maxRetries: 100 },
  },
};

/** The runtime would wait between two deliveries, and give up after its own number of them. */
const DELIVERIES_MAX = 100;

export const workersQueueScenario: Scenario<WorkersQueueOptions> = {
  flags: ["seed"],
  options: (flags) => ({
    users: 200,
    versions: 20,
    killEveryMs: 100,
    deadlineMs: 280_000,
    seed: flags.seed(),
  }),
  run: workersQueue,
};

async function workersQueue(options: WorkersQueueOptions): Promise<Measure[]> {
  const { users, versions, killEveryMs, deadlineMs, seed } = options;
  const host = await startWorkerHost(await localDatabase(), {
    name: "queue",
    front: BATCH_SENDER,
    queues: QUEUES,
    env: { QUEUE_CONCURRENCY: `${BATCHES_AT_ONCE}` },
  });
  try {
    await recordEffects(host);
    await writeEvents(host.branch, { users, versions });
    const direct = await takeHalf(host);
    await using killer = await BackendKiller.start({
      adminEnv: host.branch.envOf("postgres"),
      everyMs: killEveryMs,
      random: seededRandom(seed),
    });
    await using watch = new BackendWatch(host);
    const startedMs = performance.now();
    const endsAt = startedMs + deadlineMs;
    const [sent, sweeps] = await Promise.all([
      sendBatches(host, direct, endsAt),
      sweepAll(host, endsAt),
    ]);
    const events = users * versions;
    await pollUntil(async () => (await audit(host)).effects >= events, {
      deadlineMs: endsAt - performance.now(),
      intervalMs: 100,
    });
    const seconds = (performance.now() - startedMs) / 1_000;
    await killer.stop();
    const { effects, twice, dead, waiting } = await audit(host);
    return [
      ["seed", seed],
      ["events", events],
      ["events a second", events / seconds],
      ["backends terminated", killer.kills, atLeast(1)],
      ["batches", sent.batches],
      ["batches that met others", sent.met, atLeast(2)],
      ["messages delivered again", sent.again],
      ["sweeps", sweeps],
      ["messages that were never acked", sent.unacked, zero],
      ["events never delivered", waiting, zero],
      ["events without their effect", events - (effects - twice), zero],
      ["effects done more than once", twice, zero],
      ["dead letters", dead, zero],
      ["most connections to the server at once", watch.most, atMost(BATCHES_AT_ONCE)],
      ["uncaught errors of workerd", host.workerd.takeUncaught().length, zero],
    ];
  } finally {
    await host.stop();
  }
}

/**
 * The table of activities ignores an event that it has. So a table without a key gets a row for each time that an event was
 * processed: a trigger before an insert runs for ignored rows, too.
 */
async function recordEffects({ branch }: WorkerHost): Promise<void> {
  await branch.asAdmin("create table effects (user_id uuid not null, version int not null)");
  await branch.asAdmin(`
    create function record_effect() returns trigger language plpgsql security definer as $$
      begin
        insert into effects values (new.user_id, new.version);
        return new;
      end $$`);
  await branch.asAdmin(`
    create trigger record_effect before insert on user_activity
    for each row execute function record_effect()`);
}

/** Takes every other event from the outbox, as the bodies of messages. */
async function takeHalf({ branch }: WorkerHost): Promise<unknown[]> {
  const rows = await branch.asAdmin<{ body: unknown }>(`
    delete from user_events where id % 2 = 0 returning json_build_object(
      'id', id::text, 'tenant', tenant, 'type', type, 'userId', user_id, 'version', version,
      'occurredAt', to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'data', data) as body`);
  return rows.map(({ body }) => body);
}

interface Message {
  readonly id: string;
  readonly body: unknown;
  readonly attempts: number;
}

/** Sends each message in two batches, and `BATCHES_AT_ONCE` batches at once. What is to be retried is sent again. */
async function sendBatches({ request }: WorkerHost, bodies: readonly unknown[], endsAt: number) {
  // The senders take from both ends: the two copies of one half of the events are on their way at the same time.
  const left: Message[] = [...bodies, ...bodies.toReversed()].map((body) => messageOf(body, 1));
  const [counts, unacked] = [{ batches: 0, met: 0, again: 0 }, new Set(left.map(({ id }) => id))];
  let running = 0;
  await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, async (_, turn) => {
    while (left.length > 0 && performance.now() < endsAt) {
      const batch = left.splice(turn % 2 === 0 ? 0 : -BATCH_SIZE, BATCH_SIZE);
      counts.batches++;
      if (++running > 1) counts.met++;
      const response = await request("/_queue/user-events", jsonRequest("POST", batch));
      const { explicitAcks, retryMessages }: BatchAnswer = await response.json();
      running--;
      for (const id of explicitAcks) unacked.delete(id);
      const retried = new Set(retryMessages.map(({ msgId }) => msgId));
      const again = batch.filter(({ id, attempts }) =>
        retried.has(id) && attempts < DELIVERIES_MAX
      );
      counts.again += again.length;
      left.push(...again.map(({ id, body, attempts }) => ({ id, body, attempts: attempts + 1 })));
    }
  }));
  return { ...counts, unacked: unacked.size };
}

function messageOf(body: unknown, attempts: number): Message {
  return { id: crypto.randomUUID(), body, attempts };
}

/** Sweeps until the outbox is empty. A sweep whose backend is terminated leaves events for the next one. */
async function sweepAll(host: WorkerHost, endsAt: number): Promise<number> {
  let sweeps = 0;
  while (performance.now() < endsAt && (await audit(host)).waiting > 0) {
    const response = await host.request("/_scheduled");
    await response.body?.cancel();
    sweeps++;
  }
  return sweeps;
}

async function audit({ branch }: WorkerHost) {
  const [row] = await branch.asAdmin<
    { effects: number; twice: number; dead: number; waiting: number }
  >(`
    with done as (select count(*) as times from effects group by user_id, version)
    select (select count(*)::int from effects) as effects,
      (select coalesce(sum(times - 1), 0)::int from done) as twice,
      (select count(*)::int from dead_letters) as dead,
      (select count(*)::int from user_events) as waiting`);
  return row!;
}
