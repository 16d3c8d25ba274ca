/**
 * Many events through several consumer processes, while those are killed and backends are terminated at random.
 * Afterwards what took effect is held against what was written.
 */
import { pollUntil } from "../../src/dev/poll.ts";
import { Reaper } from "../soak/reaper.ts";
import { seededRandom } from "../soak/random.ts";
import type { LocalBranch, LocalDatabase } from "../support/local_database.ts";
import type { ProcessPlan } from "./process.ts";

export interface QueueSoakOptions {
  readonly users: number;
  /** Events of each user. */
  readonly versions: number;
  /** One of so many events cannot be read. */
  readonly poisonEvery: number;
  readonly processes: number;
  readonly concurrency: number;
  readonly leaseMs: number;
  /** A process is killed, and another one started, each time that this has passed. */
  readonly killEveryMs: number;
  /** A backend is terminated each time that this has passed. */
  readonly terminateEveryMs: number;
  readonly deadlineMs: number;
  /** Of the victims. */
  readonly seed: number;
}

/** 50,000 events. */
export const FULL: Omit<QueueSoakOptions, "seed"> = {
  users: 2_500,
  versions: 20,
  poisonEvery: 500,
  processes: 4,
  concurrency: 4,
  leaseMs: 2_000,
  killEveryMs: 1_000,
  terminateEveryMs: 100,
  deadlineMs: 900_000,
};

export interface QueueSoakReport extends QueueSoakOptions {
  readonly seconds: number;
  readonly events: number;
  readonly poison: number;
  readonly killed: number;
  readonly terminated: number;
  /** Events that are still in the outbox. */
  readonly waiting: number;
  readonly lost: number;
  readonly twice: number;
  /** Effects that came after one of a later version of the same user. */
  readonly disordered: number;
  /** Dead letters that are no poison, and poison that is not among them. */
  readonly wrongDead: number;
  readonly missingDead: number;
}

export async function queueSoak(
  database: LocalDatabase,
  options: QueueSoakOptions,
): Promise<QueueSoakReport> {
  await using branch = await database.connect();
  await writeWork(branch, options);
  await using reaper = await Reaper.start({
    adminEnv: branch.envOf("postgres"),
    everyMs: options.terminateEveryMs,
    random: seededRandom(options.seed),
  });
  const { env } = branch;
  await using herd = new Herd({ ...options, env }, seededRandom(options.seed + 1));
  const startedMs = performance.now();
  await pollUntil(() => isEmpty(branch), { deadlineMs: options.deadlineMs, intervalMs: 500 });
  const seconds = (performance.now() - startedMs) / 1_000;
  await herd.stop();
  await reaper.stop();
  return {
    ...options,
    seconds,
    events: options.users * options.versions,
    killed: herd.killed,
    terminated: reaper.kills,
    ...await audit(branch),
  };
}

/** What is to be done, in the outbox, and once more where nobody takes it away. */
async function writeWork(
  branch: LocalBranch,
  { users, versions, poisonEvery }: QueueSoakOptions,
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
    update user_events set type = 'user.exploded' where id % ${poisonEvery} = 0`);
  await branch.asAdmin(
    "create table soak_events as select id, user_id, version, type from user_events",
  );
}

async function isEmpty(branch: LocalBranch): Promise<boolean> {
  return (await branch.asAdmin("select from user_events limit 1")).length === 0;
}

type Audit = Pick<
  QueueSoakReport,
  "poison" | "waiting" | "lost" | "twice" | "disordered" | "wrongDead" | "missingDead"
>;

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

/** So many processes at any time, one of which is killed and replaced now and then. */
class Herd implements AsyncDisposable {
  killed = 0;
  readonly #plan: ProcessPlan & Pick<QueueSoakOptions, "processes">;
  readonly #random: () => number;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #ended: Promise<unknown>[] = [];
  #living: Deno.ChildProcess[] = [];

  constructor(
    plan: ProcessPlan & Pick<QueueSoakOptions, "processes" | "killEveryMs">,
    random: () => number,
  ) {
    this.#plan = plan;
    this.#random = random;
    for (let count = 0; count < plan.processes; count++) this.#start();
    this.#timer = setInterval(() => this.#killOne(), plan.killEveryMs);
  }

  /** Lets all end in good order. */
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
    const { env, concurrency, leaseMs } = this.#plan;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", new URL("process.ts", import.meta.url).href],
      stdin: "piped",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    const writer = child.stdin.getWriter();
    const plan = JSON.stringify({ env, concurrency, leaseMs } satisfies ProcessPlan);
    const written = writer.write(new TextEncoder().encode(`${plan}\n`))
      .finally(() => writer.releaseLock());
    this.#living.push(child);
    // It may have been killed before it has read.
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
