/** Random histories of shared reads, and what must be true of each. */
import {
  CommitOutcomeUnknownError,
  ConnectError,
  ConnectionLostError,
  type Database,
  DeadlineError,
  type Pool,
  ServerError,
  sql,
} from "../../../src/db/mod.ts";
import type { ScriptedConnection } from "../../support/scripted_driver.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ReadingServer } from "../../support/reading_server.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";
import { pick, type Random, seededRandom } from "../../endurance/random.ts";

/** Writes have numbers from here on. */
const WRITES = 1_000_000;

/** Far more than any history needs until its last answer. */
const STEPS_TO_END = 500;

interface Call {
  readonly n: number;
  readonly controller: AbortController;
  /** Connections that ended under it, or may have. */
  cuts: number;
  /** Whether one of them ended because the call took too long: it is not sent again. */
  timedOut: boolean;
  outcome: { readonly value: unknown } | { readonly error: unknown } | undefined;
}

export interface HistoryOptions {
  readonly seed: number;
  readonly mixesUp?: boolean;
}

/** What a history has covered. */
export interface Coverage {
  reads: number;
  shared: number;
  moved: number;
  replayed: number;
  failed: number;
  aborted: number;
  lost: number;
}

/** Plays one history. Throws for the first thing that is not as it must be. */
export async function playHistory({ seed, mixesUp = false }: HistoryOptions): Promise<Coverage> {
  const history = new History(seededRandom(seed), mixesUp);
  try {
    return await history.play();
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
  }
}

class History {
  readonly #random: Random;
  readonly #clock = new ManualClock();
  readonly #server: ReadingServer;
  readonly #pool: Pool;
  readonly #db: Database;
  readonly #calls = new Map<number, Call>();
  readonly #failed = new Set<number>();
  readonly #violations: string[] = [];

  constructor(random: Random, mixesUp: boolean) {
    this.#random = random;
    this.#server = new ReadingServer({ mixesUp });
    this.#pool = poolOf(this.#server.driver, {
      size: 1 + Math.floor(random() * 3),
      maxOverflow: Math.floor(random() * 2),
      readDepth: pick([2, 3, 5, "auto"] as const, random)!,
      clock: this.#clock,
      random,
    });
    this.#db = databaseOf(this.#pool, { clock: this.#clock, random });
  }

  async play(): Promise<Coverage> {
    const steps = 10 + Math.floor(this.#random() * 40);
    for (let step = 0; step < steps; step++) {
      this.#step();
      // Without it, several steps are in one turn.
      if (this.#random() < 0.7) await flushPromises();
      await this.#passTime();
      this.#checkLines();
    }
    await this.#end();
    for (const call of this.#calls.values()) this.#checkOutcome(call);
    this.#checkReplays();
    if (this.#violations.length > 0) throw new Error(this.#violations.join("; "));
    return this.#coverage();
  }

  #step(): void {
    const random = this.#random();
    const { busy } = this.#server;
    const connection = pick(busy, this.#random);
    if (random < 0.45 || connection === undefined) return this.#begin(random < 0.06);
    if (random < 0.8) return this.#answer(connection);
    if (random < 0.88) return this.#abort();
    if (random < 0.92) return this.#cut(connection);
  }

  async #passTime(): Promise<void> {
    const random = this.#random();
    if (random < 0.15) await this.#clock.advance(1 + this.#random() * 5);
    else if (random < 0.2) await this.#clock.advance(20 + this.#random() * 120);
  }

  #begin(isWrite: boolean): void {
    const n = this.#calls.size + 1 + (isWrite ? WRITES : 0);
    const controller = new AbortController();
    const call: Call = { n, controller, cuts: 0, timedOut: false, outcome: undefined };
    this.#calls.set(n, call);
    const session = this.#db.session({ readOnly: !isWrite, signal: controller.signal });
    const statement = isWrite ? sql`insert into t values (${n})` : sql`select ${n} as n`;
    session.commit([statement]).then(
      ([[row]]) => call.outcome = { value: (row as { n: number }).n },
      (error) => call.outcome = { error },
    );
  }

  #answer(connection: ScriptedConnection): void {
    const fails = this.#random() < 0.15;
    const [n] = this.#server.running(connection);
    if (fails && n !== undefined) this.#failed.add(n);
    this.#server.answer(connection, { fails });
  }

  #abort(): void {
    const waiting = [...this.#calls.values()].filter(({ outcome }) => outcome === undefined);
    pick(waiting, this.#random)?.controller.abort();
  }

  #cut(connection: ScriptedConnection): void {
    const timesOut = this.#random() < 0.5;
    for (const [index, n] of this.#server.running(connection).entries()) {
      const call = n === undefined ? undefined : this.#calls.get(n);
      if (call === undefined) continue;
      call.cuts++;
      call.timedOut ||= timesOut && index === 0;
    }
    // The connection may also have been leased to callers that have sent nothing yet.
    for (const call of this.#unsentCalls()) call.cuts++;
    this.#server.cut(connection, { timesOut });
  }

  /** Calls that wait for a connection, or have one and have not sent yet. */
  #unsentCalls(): Call[] {
    const sent = new Set(this.#server.busy.flatMap((each) => this.#server.running(each)));
    return [...this.#calls.values()].filter(({ n, outcome }) =>
      outcome === undefined && !sent.has(n)
    );
  }

  /** Answers everything, until nothing happens any more. */
  async #end(): Promise<void> {
    for (let step = 0; step < STEPS_TO_END; step++) {
      await flushPromises();
      for (const connection of this.#server.busy) this.#server.answer(connection);
      await flushPromises();
      const isOver = [...this.#calls.values()].every(({ outcome }) => outcome !== undefined);
      if (isOver && this.#server.busy.length === 0 && this.#pool.stats().leased === 0) break;
      if (this.#server.busy.length === 0) await this.#clock.advance(100);
    }
    const { leased, opening, waiting } = this.#pool.stats();
    if (leased + opening + waiting > 0) {
      this.#violations.push(`left: ${leased} leased, ${opening} opening, ${waiting} waiting`);
    }
    const closed = this.#pool.close({ timeoutMs: 0 });
    await this.#clock.advance(10_000);
    await closed;
    if (this.#clock.pending > 0) this.#violations.push(`${this.#clock.pending} timers are left`);
    if (this.#server.driver.open.length > 0) this.#violations.push("a connection is left");
  }

  #checkLines(): void {
    for (const connection of this.#server.busy) {
      const running = this.#server.running(connection);
      const writes = running.filter((n) => n === undefined || n >= WRITES);
      if (writes.length > 0 && running.length > 1) {
        this.#violations.push(`a write shares its connection: ${running}`);
      }
    }
  }

  #checkOutcome({ n, outcome, controller, cuts, timedOut }: Call): void {
    const { aborted } = controller.signal;
    if (outcome === undefined) return void this.#violations.push(`${n} waits for ever`);
    if ("value" in outcome) {
      if (outcome.value !== n) this.#violations.push(`${n} got the rows of ${outcome.value}`);
      return;
    }
    const { error } = outcome;
    if (error instanceof ServerError) {
      const isOwn = this.#failed.has(n) && error.message === `division by zero of ${n}`;
      if (!isOwn) this.#violations.push(`${n} got an error of another: ${error.message}`);
    } else if (error instanceof DeadlineError) {
      if (!aborted) this.#violations.push(`${n} got ${error.message}, and did not give up`);
    } else if (n >= WRITES && cuts > 0) {
      const isLoss = error instanceof CommitOutcomeUnknownError ||
        error instanceof ConnectionLostError;
      if (!isLoss) this.#violations.push(`the write ${n} got ${error}`);
    } else if (error instanceof ConnectionLostError || error instanceof ConnectError) {
      // Each read is sent again once.
      if (cuts < 2 && !timedOut) this.#violations.push(`${n} was not sent again: ${error}`);
      const { cause } = error;
      const isOwn = !(cause instanceof ServerError) || cause.message === `timeout of ${n}`;
      if (!isOwn) this.#violations.push(`${n} got the end of another: ${error}`);
    } else this.#violations.push(`${n} got ${error}`);
  }

  /** A connection that the pool closes under a caller, such as behind a cancel request, would be replayed unnoticed. */
  #checkReplays(): void {
    const { replayed } = this.#db.stats();
    const cuts = this.#calls.values().reduce((sum, { cuts }) => sum + cuts, 0);
    if (replayed > cuts) {
      this.#violations.push(`${replayed} replays, and ${cuts} callers whose connections ended`);
    }
  }

  #coverage(): Coverage {
    const { counters, replayed } = this.#db.stats();
    const outcomes = [...this.#calls.values()].map(({ outcome }) => outcome!);
    const errors = outcomes.flatMap((outcome) => "error" in outcome ? [outcome.error] : []);
    const count = (type: new (...args: never[]) => Error) =>
      errors.filter((error) => error instanceof type).length;
    return {
      reads: outcomes.length,
      shared: counters.shared,
      moved: counters.moved,
      replayed,
      failed: count(ServerError),
      aborted: count(DeadlineError),
      lost: count(ConnectionLostError),
    };
  }
}
