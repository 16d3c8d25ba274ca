/** The app of a chaos run: units of work over HTTP, and what became of each. Runs on Deno and in workerd. */
import {
  CommitOutcomeUnknownError,
  CommitRowsLostError,
  Database,
  type DatabaseOptions,
  type DatabaseOwner,
  NeonDriver,
  type NeonDriverOptions,
  type OwnerScope,
  Pool,
  RetryBudget,
  ServerError,
  UnitMetrics,
} from "../../src/db/mod.ts";
import { parseSettings, type Settings } from "../../src/settings/settings.ts";
import { type Cheat, settlementOf } from "./cheats.ts";
import { countersOf } from "./counters.ts";
import { runUnit, type Unit } from "./units.ts";

export interface Answer {
  readonly outcome: "done" | "failed" | "unknown";
  /** How often the unit was run. */
  readonly runs: number;
  /** Of one that is not done. */
  readonly error?: string;
  readonly message?: string;
}

/** Of the environment, beside what the service reads. */
export const CHEAT = "CHAOS_CHEAT";
/** After this long no further attempt of a unit begins. */
const UNIT_TIMEOUT_MS = 10_000;

export class ChaosApp {
  readonly #settings: Settings["database"];
  readonly #pool: Pool;
  readonly #budget = new RetryBudget();
  readonly #settlement: Partial<DatabaseOptions>;
  readonly #metrics = new UnitMetrics();

  constructor(
    env: Readonly<Record<string, unknown>>,
    options: Pick<NeonDriverOptions, "webSocketConstructor"> = {},
  ) {
    const { database } = parseSettings(env);
    const driver = new NeonDriver({ ...database, ...options });
    this.#settings = database;
    this.#pool = new Pool({
      ...database.pool,
      connectTimeoutMs: database.connectTimeoutMs,
      connect: (options) => driver.connect(options),
    });
    this.#settlement = settlementOf((env[CHEAT] || undefined) as Cheat | undefined);
  }

  /** Answers `POST /units` with an `Answer` to each, done one after the other, and `GET /counters`. */
  async fetch(
    request: Request,
    owner: DatabaseOwner,
  ): Promise<Response> {
    if (request.method === "GET") return Response.json(countersOf(this.#metrics.snapshot()));
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
      ...this.#settlement,
      pool: this.#pool,
      budget: this.#budget,
      defaults: { ...session, readOnly: false, deferrable: false, locals: {} },
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
    // Done, and none of these units reads what comes with its COMMIT.
    if (error instanceof CommitRowsLostError) return { outcome: "done", runs };
    const outcome = error instanceof CommitOutcomeUnknownError ? "unknown" : "failed";
    const { name, message } = error as Error;
    const state = error instanceof ServerError ? ` ${error.sqlState}` : "";
    return { outcome, runs, error: `${name}${state}`, message };
  }
}
