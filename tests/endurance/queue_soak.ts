/**
 * Many events through several consumer processes, while random processes are killed and random backends terminated.
 * Every event must take effect once, in its user's order, and only events that cannot be read may become dead letters.
 */
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";
import { BackendKiller } from "./backend_killer.ts";
import type { ProcessPlan } from "./queue_soak_process.ts";
import { type Random, seededRandom } from "./random.ts";
import type { Scenario } from "./scenario.ts";
import { atLeast, type Measure, zero } from "./verdict.ts";

export interface QueueSoakOptions {
  readonly users: number;
  /** Events of each user. */
  readonly versions: number;
  readonly leaseMs: number;
  /** Time from one killed process, which is replaced, to the next. */
  readonly killEveryMs: number;
  /** Longest wait for an empty outbox. */
  readonly deadlineMs: number;
  /** Chooses the processes and the backends. */
  readonly seed: number;
}

/** What the database holds after the run. */
interface Audit {
  readonly poison: number;
  /** Events that are still in the outbox. */
  readonly waiting: number;
  readonly lost: number;
  readonly twice: number;
  /** Effects that came after an effect of a later version of the same user. */
  readonly disordered: number;
  /** Dead letters of events that can be read. */
  readonly wrongDead: number;
  /** Events that cannot be read, without a dead letter. */
  readonly missingDead: number;
}

export type QueueSoakResult = Awaited<ReturnType<typeof queueSoak>>;

/** Every event whose id this number divides cannot be read. */
const POISON_EVERY = 500;
const PROCESSES = 4;
/** Batches under way at once in each process. */
const CONCURRENCY = 4;
/** Time from one terminated backend to the next. */
const TERMINATE_EVERY_MS = 200;

export const queueSoakScenario: Scenario<QueueSoakOptions> = {
  flags: ["seed"],
  options: (flags) => ({
    users: 2_500,
    versions: 20,
    leaseMs: 5_000,
    killEveryMs: 3_000,
    deadlineMs: 1_800_000,
    seed: flags.seed(),
  }),
  run: async (options) => queueSoakReport(await queueSoak(options)),
};

async function queueSoak(options: QueueSoakOptions) {
  await using branch = await (await localDatabase()).connect();
  await writeEvents(branch, options);
  await using killer = await BackendKiller.start({
    adminEnv: branch.envOf("postgres"),
    everyMs: TERMINATE_EVERY_MS,
    random: seededRandom(options.seed),
  });
  const plan = { env: branch.env, concurrency: CONCURRENCY, leaseMs: options.leaseMs };
  await using consumers = new Consumers(plan, {
    killEveryMs: options.killEveryMs,
    random: seededRandom(options.seed + 1),
  });
  const startedMs = performance.now();
  const isEmpty = async () =>
    (await branch.asAdmin("select from user_events limit 1")).length === 0;
  await pollUntil(isEmpty, { deadlineMs: options.deadlineMs, intervalMs: 500 });
  const seconds = (performance.now() - startedMs) / 1_000;
  await consumers.stop();
  await killer.stop();
  const { killed } = consumers;
  return { ...options, seconds, killed, terminated: killer.kills, ...await audit(branch) };
}

/** Writes the events to the outbox, and a copy of each to a table that no consumer deletes from. */
async function writeEvents(
  branch: LocalBranch,
  { users, versions }: QueueSoakOptions,
): Promise<void> {
  await branch.asAdmin(`
    create table soak_effects (
      seq bigint generated always as identity,
      event_id bigint not null, user_id uuid not null, version int not null)`);
  await branch.asAdmin("grant all on soak_effects to public");
  await branch.asAdmin(`
    insert into user_events (user_id, version, type, data)
    select user_id, version, 'user.updated', '{"email": "ann@example.org", "name": "Ann"}'
    from generate_series(1, ${versions}) as version,
      (select gen_random_uuid() as user_id from generate_series(1, ${users})) as made`);
  await branch.asAdmin(`
    update user_events set type = 'user.exploded' where id % ${POISON_EVERY} = 0`);
  await branch.asAdmin(
    "create table soak_events as select id, user_id, version, type from user_events",
  );
}

async function audit(branch: LocalBranch): Promise<Audit> {
  const [row] = await branch.asAdmin<Audit>(`
    with poison as (select id from soak_events where type = 'user.exploded'),
      good as (select id from soak_events where type <> 'user.exploded'),
      done as (select event_id, count(*) as times from soak_effects group by event_id),
      dead as (select message_id::bigint as id from dead_letters),
      ranked as (
        select version, max(version) over (partition by user_id order by seq) as latest
        from soak_effects)
    select (select count(*)::int from poison) as poison,
      (select count(*)::int from user_events) as waiting,
      (select count(*)::int from good where id not in (select event_id from done)) as lost,
      (select coalesce(sum(times - 1), 0)::int from done) as twice,
      (select count(*)::int from ranked where version < latest) as disordered,
      (select count(*)::int from dead where id not in (select id from poison)) as "wrongDead",
      (select count(*)::int from poison where id not in (select id from dead)) as "missingDead"`);
  return row!;
}

/** A constant number of consumer processes. Again and again one of them is killed, and replaced. */
class Consumers implements AsyncDisposable {
  killed = 0;
  readonly #plan: ProcessPlan;
  readonly #random: Random;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #ended: Promise<unknown>[] = [];
  #living: Deno.ChildProcess[] = [];

  constructor(
    plan: ProcessPlan,
    { killEveryMs, random }: { killEveryMs: number; random: Random },
  ) {
    this.#plan = plan;
    this.#random = random;
    for (let count = 0; count < PROCESSES; count++) this.#start();
    this.#timer = setInterval(() => this.#killOne(), killEveryMs);
  }

  /** Lets all processes end in order. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#living.map((child) => child.stdin.close().catch(() => {})));
    this.#living = [];
    await Promise.all(this.#ended);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #start(): void {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", new URL("queue_soak_process.ts", import.meta.url).href],
      stdin: "piped",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    const writer = child.stdin.getWriter();
    const plan = new TextEncoder().encode(`${JSON.stringify(this.#plan)}\n`);
    const written = writer.write(plan)
      .finally(() => writer.releaseLock());
    this.#living.push(child);
    // A process that is killed before it has read its plan fails the write.
    this.#ended.push(child.status, written.catch(() => {}));
  }

  #killOne(): void {
    const [victim] = this.#living.splice(Math.floor(this.#random() * this.#living.length), 1);
    victim?.kill("SIGKILL");
    victim?.stdin.close().catch(() => {});
    this.killed++;
    this.#start();
  }
}

export function queueSoakReport(result: QueueSoakResult): Measure[] {
  const events = result.users * result.versions;
  return [
    ["seed", result.seed],
    ["events", events],
    ["events a second", events / result.seconds],
    ["processes killed", result.killed, atLeast(1)],
    ["backends terminated", result.terminated, atLeast(1)],
    ["events that cannot be read", result.poison, atLeast(1)],
    ["events never delivered", result.waiting, zero],
    ["events without their effect", result.lost, zero],
    ["effects done more than once", result.twice, zero],
    ["effects after a later one of their user", result.disordered, zero],
    ["dead letters of events that can be read", result.wrongDead, zero],
    ["unreadable events without a dead letter", result.missingDead, zero],
  ];
}
