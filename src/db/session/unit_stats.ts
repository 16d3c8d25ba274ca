/** Counters and histograms of units of work, for all databases of one isolate. The pool has its own. */
import type { Clock } from "../time/clock.ts";
import type { FlightAnswer, FlightPart } from "../driver/driver.ts";
import type { Lease } from "../pool/lease.ts";
import type { ServerAddress } from "../pool/replicas/read_server.ts";
import { Histogram, type HistogramStats } from "../time/histogram.ts";
import type { TransactionObserver, TransactionOutcome } from "./observer.ts";

/**
 * Counters since the `UnitMetrics` was made. A session that has run no statement is not counted. A statement of
 * `Database.run` counts as a transaction.
 */
export interface UnitCounters {
  /** Transactions. */
  committed: number;
  /** Transactions. */
  rolledBack: number;
  /** Transactions that got no connection or lost it, and that are not known to be committed or rolled back. */
  lost: number;
  /** First flights that were sent again because their connection had died while idle. */
  replayed: number;
  /** Retries that the shared retry budget did not allow. */
  budgetDenied: number;
  /** Lost COMMITs whose outcome was found, by the server or by a key. */
  resolved: number;
  /** Units of work whose caller got `CommitOutcomeUnknownError`. */
  unknown: number;
}

/** A snapshot of the counters and histograms. Times are in milliseconds. */
export interface UnitStats extends Readonly<UnitCounters> {
  /** Retries, by the kind of the failure before them (`Failure.kind`). */
  readonly retried: Readonly<Record<string, number>>;
  /** From the request for a connection to the end of the transaction. */
  readonly transactionTimes: HistogramStats;
  /** From sending a flight to its answer or failure. */
  readonly statementTimes: HistogramStats;
}

const COUNTED_AS = {
  "committed": "committed",
  "rolled back": "rolledBack",
  "lost": "lost",
} as const;

/** Holds the counters and histograms that transactions and units of work update. */
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

/** Records the times of one transaction and its flights, and reports both to its observer. */
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

  /** The transaction has its connection, which is new if it was not idle before. */
  leased({ idleMs, connection }: Lease): void {
    this.#observer?.leased?.(idleMs === undefined ? connection.ready : undefined);
  }

  /** A flight is sent at `sinceMs`. What this returns is to be called at its end, with its error if it has failed. */
  beginFlight(
    parts: readonly FlightPart[],
    sinceMs: number,
    replica?: ServerAddress,
  ): (nowMs: number, error: unknown) => void {
    const ended = this.#observer?.flight(parts, replica);
    return (nowMs, error) => {
      ended?.(error);
      this.#metrics.statementTimes.record(nowMs - sinceMs);
    };
  }

  /** Sends a flight, records how long it took, and tells the observer its start and end. */
  async flight(
    parts: readonly FlightPart[],
    send: () => Promise<FlightAnswer>,
  ): Promise<FlightAnswer> {
    const end = this.beginFlight(parts, this.#clock.now());
    try {
      const answer = await send();
      end(this.#clock.now(), answer.error);
      return answer;
    } catch (error) {
      end(this.#clock.now(), error);
      throw error;
    }
  }

  /** Counts the transaction by its outcome, and its time until `nowMs`. Only the first call has an effect. */
  end(
    outcome: TransactionOutcome,
    error: Error | undefined,
    nowMs: number = this.#clock.now(),
  ): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#metrics.counters[COUNTED_AS[outcome]]++;
    this.#metrics.transactionTimes.record(nowMs - this.#sinceMs);
    this.#observer?.ended(outcome, error);
  }
}
