/** The app of a chaos run: does units of work for HTTP requests, and answers with their outcomes. For Deno and workerd. */
import {
  CommitOutcomeUnknownError,
  CommitRowsLostError,
  Database,
  type DatabaseOptions,
  type DatabaseOwner,
  type OwnerScope,
  Pool,
  ServerError,
  type UnitStats,
} from "../../../src/db/mod.ts";
import { RetryBudget } from "../../../src/db/time/retry.ts";
import { UnitMetrics } from "../../../src/db/session/unit_stats.ts";
import { createDriver, type DriverSockets } from "../../../src/library/create_driver.ts";
import { parseSettings, type Settings } from "../../../src/settings/settings.ts";
import { type Mutation, resolutionOf } from "./mutations.ts";
import { runUnit, type Unit } from "./units.ts";

/** What became of one unit. */
export interface Answer {
  readonly outcome: "done" | "failed" | "unknown";
  /** How often the unit was run. */
  readonly runs: number;
  /** Both are there unless the unit is done. */
  readonly error?: string;
  readonly message?: string;
}

/** First flights replayed, and lost COMMITs by whether their outcome was found out. */
export type Counters = Pick<UnitStats, "replayed" | "resolved" | "unknown">;

/** The environment variable that names the mutation. */
export const MUTATION = "CHAOS_MUTATION";
/** No attempt of a unit begins later than this after the first. */
const UNIT_TIMEOUT_MS = 10_000;

export class ChaosApp {
  readonly #settings: Settings["database"];
  readonly #pool: Pool;
  readonly #budget = new RetryBudget();
  readonly #resolution: Partial<DatabaseOptions>;
  readonly #metrics = new UnitMetrics();

  constructor(
    env: Readonly<Record<string, unknown>>,
    sockets: DriverSockets,
  ) {
    const { database } = parseSettings(env);
    const driver = createDriver(database, sockets);
    this.#settings = database;
    this.#pool = new Pool({
      ...database.pool,
      connectTimeoutMs: database.connectTimeoutMs,
      connect: (options) => driver.connect(options),
    });
    this.#resolution = resolutionOf((env[MUTATION] || undefined) as Mutation | undefined);
  }

  /** `POST /units` does the units one after the other, and answers with an `Answer` to each; `GET` gives `Counters`. */
  async fetch(request: Request, owner: DatabaseOwner): Promise<Response> {
    if (request.method === "GET") {
      const { replayed, resolved, unknown } = this.#metrics.snapshot();
      return Response.json({ replayed, resolved, unknown } satisfies Counters);
    }
    const db = this.#databaseOf(owner);
    const units: readonly Unit[] = await request.json();
    const answers: Answer[] = [];
    for (const unit of units) answers.push(await answerTo(unit, db, request.signal));
    return Response.json(answers);
  }

  /** Closes the connections of an owner that has ended. */
  async endScope(scope: OwnerScope): Promise<void> {
    await this.#pool.endScope(scope);
  }

  async close(options: { timeoutMs: number }): Promise<void> {
    await this.#pool.close(options);
  }

  #databaseOf(owner: DatabaseOwner): Database {
    const { session, retryAttempts } = this.#settings;
    return new Database({
      ...this.#resolution,
      pool: this.#pool,
      budget: this.#budget,
      defaults: { ...session, deferrable: false, locals: {} },
      metrics: this.#metrics,
      attempts: retryAttempts,
    }, owner);
  }
}

async function answerTo(unit: Unit, db: Database, signal: AbortSignal): Promise<Answer> {
  let runs = 0;
  try {
    await runUnit(db, unit, { timeoutMs: UNIT_TIMEOUT_MS, signal, onRun: () => runs++ });
    return { outcome: "done", runs };
  } catch (error) {
    // The unit is committed, and no unit reads the rows that were lost with the answer.
    if (error instanceof CommitRowsLostError) return { outcome: "done", runs };
    const outcome = error instanceof CommitOutcomeUnknownError ? "unknown" : "failed";
    const { name, message } = error as Error;
    const state = error instanceof ServerError ? ` ${error.sqlState}` : "";
    return { outcome, runs, error: `${name}${state}`, message };
  }
}
