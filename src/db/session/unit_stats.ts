/** What the databases of one isolate tell of their units of work, beside what their pool tells. */
import type { Clock } from "../time/clock.ts";
import type { FlightAnswer, FlightPart } from "../driver/driver.ts";
import { Histogram, type HistogramStats } from "../time/histogram.ts";
import type { TransactionObserver, TransactionOutcome } from "./observer.ts";

/** How often each has happened since the isolate's first database was made. */
export interface UnitCounters {
  committed: number;
  rolledBack: number;
  /** Ended without an answer. */
  lost: number;
  /** First flights that were sent again, as their connections had died while they were idle. */
  replayed: number;
  /** Retries that the isolate's budget did not allow. */
  budgetDenied: number;
  /** Lost COMMITs whose outcome was found out, from the server or by a key. */
  resolved: number;
  /** Units of work whose author was told that nobody knows whether they are committed. */
  unknown: number;
}

/** A snapshot. */
export interface UnitStats extends Readonly<UnitCounters> {
  /** Attempts after the first one, by the kind of failure that they followed (`Failure.kind`). */
  readonly retried: Readonly<Record<string, number>>;
  /** From asking for the connection to the transaction's end. */
  readonly transactionTimes: HistogramStats;
  /** From sending statements to their answer. */
  readonly statementTimes: HistogramStats;
}

const COUNTED_AS = {
  "committed": "committed",
  "rolled back": "rolledBack",
  "lost": "lost",
} as const;

/** Counts as things happen. */
export class UnitMetrics {
  readonly counters: UnitCounters = {
    committed: 0,
    rolledBack: 0,
    lost: 0,
    replayed: 0,
    budgetDenied: 0,
    resolved: 0,
    unknown: 0,
  };
  readonly transactionTimes: Histogram = new Histogram();
  readonly statementTimes: Histogram = new Histogram();
  readonly #retried = new Map<string, number>();

  retried(kind: string): void {
    this.#retried.set(kind, (this.#retried.get(kind) ?? 0) + 1);
  }

  snapshot(): UnitStats {
    return {
      ...this.counters,
      retried: Object.fromEntries(this.#retried),
      transactionTimes: this.transactionTimes.snapshot(),
      statementTimes: this.statementTimes.snapshot(),
    };
  }
}

/** Times one transaction and its flights, and passes both on to whoever observes it. */
export class TransactionRecord {
  readonly #metrics: UnitMetrics;
  readonly #clock: Clock;
  readonly #observer: TransactionObserver | undefined;
  readonly #sinceMs: number;
  #hasEnded = false;

  constructor(metrics: UnitMetrics, clock: Clock, observer: TransactionObserver | undefined) {
    this.#metrics = metrics;
    this.#clock = clock;
    this.#observer = observer;
    this.#sinceMs = clock.now();
  }

  async flight(
    parts: readonly FlightPart[],
    send: () => Promise<FlightAnswer>,
  ): Promise<FlightAnswer> {
    const ended = this.#observer?.flight(parts);
    const sinceMs = this.#clock.now();
    try {
      const answer = await send();
      ended?.(answer.error);
      return answer;
    } catch (error) {
      ended?.(error);
      throw error;
    } finally {
      this.#metrics.statementTimes.record(this.#clock.now() - sinceMs);
    }
  }

  /** Counts once, whatever comes after. */
  end(outcome: TransactionOutcome, error: Error | undefined): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#metrics.counters[COUNTED_AS[outcome]]++;
    this.#metrics.transactionTimes.record(this.#clock.now() - this.#sinceMs);
    this.#observer?.ended(outcome, error);
  }
}
