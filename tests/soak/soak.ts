/**
 * Many units of work on a real server whose backends are terminated at random all the while. Afterwards what callers
 * were told is held against what is in the database.
 */
import type { Database, PoolCounters } from "../../src/db/mod.ts";
import type { LocalDatabase } from "../support/local_database.ts";
import { type HeapQuarters, HeapSamples } from "./heap.ts";
import { Ledger, type LedgerFaults } from "./ledger.ts";
import { seededRandom } from "./random.ts";
import { Reaper } from "./reaper.ts";
import { TABLE, type Unit, UNITS } from "./units.ts";

export interface SoakOptions {
  readonly sessions: number;
  readonly concurrency: number;
  readonly poolSize: number;
  readonly maxOverflow: number;
  readonly recycleMs: number;
  /** A backend is terminated each time that this has passed. */
  readonly killEveryMs: number;
  /** Of the work and of the victims. */
  readonly seed: number;
}

export const FULL: Omit<SoakOptions, "seed"> = {
  sessions: 200_000,
  concurrency: 50,
  poolSize: 5,
  maxOverflow: 5,
  recycleMs: 1_000,
  killEveryMs: 50,
};

export interface FailureKind {
  count: number;
  /** Of the first. */
  readonly message: string;
}

export interface SoakReport extends SoakOptions {
  readonly seconds: number;
  /** How often units were run, the first time included. */
  readonly runs: number;
  readonly failedReads: number;
  /** Without those whose outcome is unknown. */
  readonly failedWrites: number;
  readonly unknownWrites: number;
  /** By `unit: error`. */
  readonly failures: ReadonlyMap<string, FailureKind>;
  readonly ledger: LedgerFaults;
  readonly kills: number;
  readonly looks: number;
  /** The most backends that were seen at once, and those that were left after `close`. */
  readonly mostBackends: number;
  readonly leftBackends: number;
  readonly heap: HeapQuarters | undefined;
  readonly replayed: number;
  readonly counters: Readonly<PoolCounters>;
}

/** So many that no unit loses each of its connections, on the slowest machine either. */
const ATTEMPTS = 12;
const HEAP_SAMPLES = 80;

/** `onTenth` is told each time that another tenth of the sessions has begun. */
export async function soak(
  database: LocalDatabase,
  { onTenth = () => {}, ...options }: SoakOptions & { onTenth?: (tenths: number) => void },
): Promise<SoakReport> {
  await using branch = await database.connect();
  await branch.asAdmin(TABLE);
  await branch.asAdmin("grant all on soak_writes to public");
  const random = seededRandom(options.seed);
  await using reaper = await Reaper.start({
    adminEnv: branch.envOf("postgres"),
    everyMs: options.killEveryMs,
    random: seededRandom(options.seed + 1),
  });
  const db = branch.open({
    DATABASE_POOL_SIZE: `${options.poolSize}`,
    DATABASE_MAX_OVERFLOW: `${options.maxOverflow}`,
    DATABASE_RETRY_ATTEMPTS: `${ATTEMPTS}`,
    // So many callers at so few connections are a standing queue, on a slow machine a long one.
    DATABASE_POOL_SHED_TARGET: "0",
    DATABASE_POOL_RECYCLE: `${options.recycleMs / 1_000}`,
  });
  const startedMs = performance.now();
  const pick = () => UNITS[Math.floor(random() * UNITS.length)]!;
  const load = new Load(db, { options, pick, onTenth });
  await load.run();
  const seconds = (performance.now() - startedMs) / 1_000;
  await reaper.stop();
  const { replayed, counters } = db.stats();
  await db.close({ timeoutMs: 5_000 });
  const leftBackends = await reaper.look();
  const rows = await branch.asAdmin<{ id: number }>("select id from soak_writes");
  const { ledger, heap, runs, failures, failedReads } = load;
  return {
    ...options,
    seconds,
    runs,
    failedReads,
    failedWrites: ledger.count("failed") - failedReads,
    unknownWrites: ledger.count("unknown"),
    failures,
    ledger: ledger.audit(rows.map(({ id }) => id)),
    kills: reaper.kills,
    looks: reaper.looks,
    mostBackends: reaper.most,
    leftBackends,
    heap: heap.quarters(),
    replayed,
    counters,
  };
}

/** So many callers, each with one unit after the other. */
class Load {
  readonly ledger: Ledger;
  readonly heap = new HeapSamples();
  readonly failures = new Map<string, FailureKind>();
  failedReads = 0;
  runs = 0;
  readonly #db: Database;
  readonly #options: SoakOptions;
  readonly #pick: () => Unit;
  readonly #onTenth: (tenths: number) => void;
  #begun = 0;

  constructor(
    db: Database,
    { options, pick, onTenth }: {
      options: SoakOptions;
      pick: () => Unit;
      onTenth: (tenths: number) => void;
    },
  ) {
    this.#db = db;
    this.#options = options;
    this.#pick = pick;
    this.#onTenth = onTenth;
    this.ledger = new Ledger(options.sessions);
  }

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: this.#options.concurrency }, () => this.#call()));
  }

  async #call(): Promise<void> {
    const { sessions } = this.#options;
    const sampleEvery = Math.ceil(sessions / HEAP_SAMPLES);
    const tenth = Math.ceil(sessions / 10);
    while (this.#begun < sessions) {
      const id = this.#begun++;
      const unit = this.#pick();
      try {
        await unit.run(this.#db, { id, onRun: () => this.runs++ });
        this.ledger.tell(id, unit.writes ? "written" : "read");
      } catch (error) {
        this.#failed(id, { unit, error: error as Error });
      }
      if (id % sampleEvery === 0) this.heap.take();
      if (id > 0 && id % tenth === 0) this.#onTenth(id / tenth);
    }
  }

  #failed(id: number, { unit, error }: { unit: Unit; error: Error }): void {
    const isUnknown = unit.writes && error.name === "CommitOutcomeUnknownError";
    this.ledger.tell(id, isUnknown ? "unknown" : "failed");
    if (!unit.writes) this.failedReads++;
    const kind = `${unit.name}: ${error.name}`;
    const known = this.failures.get(kind);
    if (known !== undefined) known.count++;
    else this.failures.set(kind, { count: 1, message: error.message });
  }
}
