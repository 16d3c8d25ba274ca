/**
 * The line between a transaction and its server: one leased connection, the flights that go over it, and what of
 * their answers has been heard, also of one that broke off.
 */
import type { Clock } from "../time/clock.ts";
import type {
  FlightAnswer,
  FlightPart,
  Result,
  Statement,
  TransactionStatus,
} from "../driver/driver.ts";
import { ConnectionLostError } from "../errors.ts";
import type { Lease } from "../pool/lease.ts";
import type { TypeParsers } from "../driver/result_types.ts";
import type { TransactionSettings } from "./begin.ts";
import type { TransactionOutcome } from "./observer.ts";
import type { TransactionRecord } from "./unit_stats.ts";
import { sendWithDeadline } from "./watched_flight.ts";
import { type TransactionId, XidTracker } from "./xid.ts";

export interface LeasedConnectionSource {
  readonly clock: Clock;
  acquire(
    options: { signal: AbortSignal | undefined; fresh: boolean; holdMs: number },
  ): Promise<Lease>;
  /** Begins to time the transaction. */
  record(): TransactionRecord;
}

export interface LeasedConnectionOptions {
  readonly settings: TransactionSettings;
  readonly signal: AbortSignal | undefined;
  readonly parsers: TypeParsers | undefined;
}

/** How far a flight was answered, without what only the witness asked. */
export interface HeardFlight {
  readonly sent: number;
  readonly answered: readonly Result[];
}

/** The server's own answer to its timeouts is waited for this long, before its silence counts as one. */
const ANSWER_GRACE_MS = 1_000;

const COMMIT: Statement = { text: "commit", values: [], isStatic: true, isInternal: true };
/** What its answer is lost with is not lost with it: neither the rows nor the transaction's id. */
const COMMIT_BEHIND: Statement = { ...COMMIT, flushesBefore: true };

export class LeasedConnection {
  #newest: { readonly flight: readonly FlightPart[]; readonly results: readonly Result[] } = {
    flight: [],
    results: [],
  };
  readonly #source: LeasedConnectionSource;
  readonly #options: LeasedConnectionOptions;
  /** Of a transaction that may write. */
  readonly #witness: XidTracker | undefined;
  #lease: Lease | undefined;
  #record: TransactionRecord | undefined;
  #endsAt = Infinity;
  /** A cancel request is, or was, on its way to the connection: it must not reach the next one's statement. */
  #mayBeCancelled = false;

  constructor(source: LeasedConnectionSource, options: LeasedConnectionOptions) {
    this.#source = source;
    this.#options = options;
    this.#witness = options.settings.readOnly ? undefined : new XidTracker();
  }

  /** Of the connection; `undefined` without one. */
  get status(): TransactionStatus | undefined {
    return this.#lease?.connection.status;
  }

  /** Of the newest flight. */
  get heard(): HeardFlight {
    const { flight, results } = this.#newest;
    return { sent: this.asked(flight).length, answered: this.asked(flight, results) };
  }

  /** What a lost COMMIT can be settled by, once it is known. */
  get identity(): TransactionId | undefined {
    return this.#witness?.identity;
  }

  /** Leases a connection, if there is none yet. */
  async open({ fresh = false }: { fresh?: boolean } = {}): Promise<Lease> {
    return this.#lease ??= await this.#acquire({ fresh });
  }

  #acquire({ fresh }: { fresh: boolean }): Promise<Lease> {
    const { settings, signal } = this.#options;
    this.#record ??= this.#source.record();
    const holdMs = (settings.transactionTimeoutMs || Infinity) + ANSWER_GRACE_MS;
    return this.#source.acquire({ signal, fresh, holdMs });
  }

  /** A flight of the parts, with the witness, and with COMMIT at its end. */
  compose(parts: readonly FlightPart[], { commits }: { commits: boolean }): readonly FlightPart[] {
    const witnessed = this.#witness?.behind(parts) ?? parts;
    if (!commits) return witnessed;
    const isBehind = parts.length > 0 && this.#witness !== undefined;
    return [...witnessed, isBehind ? COMMIT_BEHIND : COMMIT];
  }

  async send(flight: readonly FlightPart[]): Promise<FlightAnswer> {
    const { signal, parsers } = this.#options;
    const asked = this.asked(flight);
    try {
      const answer = await this.#record!.flight(
        asked,
        () =>
          sendWithDeadline({ lease: this.#lease!, parts: flight, parsers }, {
            clock: this.#source.clock,
            signal,
            timeoutMs: () => this.#answerTimeoutMs(asked.length),
            onCancel: () => this.#mayBeCancelled = true,
          }),
      );
      this.#hear(flight, answer.results);
      return answer;
    } catch (error) {
      this.#hear(flight, answeredBefore(error));
      throw error;
    }
  }

  #hear(flight: readonly FlightPart[], results: readonly Result[]): void {
    this.#witness?.hear(flight, results);
    this.#newest = { flight, results };
  }

  /** What there is one of for each part of the flight, for all parts but the witness. */
  asked<T>(flight: readonly FlightPart[], each: readonly T[]): readonly T[];
  asked(flight: readonly FlightPart[]): readonly FlightPart[];
  asked(flight: readonly FlightPart[], each: readonly unknown[] = flight): readonly unknown[] {
    return this.#witness?.without(flight, each) ?? each;
  }

  /** Gives the connection back. */
  release(): Promise<void> | undefined {
    const lease = this.#lease;
    this.#lease = undefined;
    return this.#mayBeCancelled ? lease?.destroy() : lease?.release();
  }

  /** Ends the connection; says whether there was one. */
  cut(): boolean {
    const lease = this.#lease;
    this.#lease = undefined;
    void lease?.destroy();
    return lease !== undefined;
  }

  /** The transaction is over. Counts once. */
  end(outcome: TransactionOutcome, error: Error | undefined): void {
    this.#record?.end(outcome, error);
  }

  /** How long to wait for a flight: the server's own timeouts, and a little for its answer. */
  #answerTimeoutMs(parts: number): number {
    const { settings } = this.#options;
    // To PostgreSQL, 0 is no timeout.
    const statementTimeoutMs = settings.statementTimeoutMs || Infinity;
    const transactionTimeoutMs = settings.transactionTimeoutMs || Infinity;
    const nowMs = this.#source.clock.now();
    if (this.#endsAt === Infinity) this.#endsAt = nowMs + transactionTimeoutMs;
    const leftMs = Math.max(0, this.#endsAt - nowMs);
    return ANSWER_GRACE_MS + Math.min(statementTimeoutMs * parts, leftMs);
  }
}

/** The results that had come when the answer broke off. */
function answeredBefore(error: unknown): readonly Result[] {
  for (let depth = 0; depth < 3 && error instanceof Error; depth++, error = error.cause) {
    if (error instanceof ConnectionLostError) return error.answered;
  }
  return [];
}
