/**
 * The flights of one transaction, in order: composes each, sends it, reads the xid that it brings back, and replays the
 * first one if its connection had died while it was idle.
 */
import type { FlightAnswer, FlightPart, Result, TransactionStatus } from "../driver/driver.ts";
import { isReplayable } from "../failures.ts";
import { beginStatements } from "./begin.ts";
import { FlightPlan, type PrependedStatement } from "./flight_plan.ts";
import { LeasedConnection } from "./leased_connection.ts";
import type { TransactionOutcome } from "./observer.ts";
import type { TransactionContext, TransactionRequest } from "./transaction_context.ts";
import { type TransactionId, XidTracker } from "./xid.ts";

/**
 * A socket idle for longer than this may be dead without our knowing. A write is then sent before COMMIT, in a flight of
 * its own, so that it can be replayed safely.
 */
const TRUSTED_IDLE_MS = 1_000;

export class Flights {
  readonly #context: TransactionContext;
  readonly #request: TransactionRequest;
  readonly #connection: LeasedConnection;
  /** Of a transaction that may write. */
  readonly #xid: XidTracker | undefined;
  #prepended: readonly PrependedStatement[] = [];
  #hasBegun = false;

  constructor(context: TransactionContext, request: TransactionRequest) {
    this.#context = context;
    this.#request = request;
    this.#connection = new LeasedConnection(context, request);
    this.#xid = request.settings.readOnly ? undefined : new XidTracker();
  }

  /** Of the connection; `undefined` without one. */
  get status(): TransactionStatus | undefined {
    return this.#connection.status;
  }

  /** What a lost COMMIT can be looked up by; `undefined` as long as the server has assigned no xid. */
  get transactionId(): TransactionId | undefined {
    return this.#xid?.transactionId;
  }

  /** Of the newest flight, as far as its answer came. */
  get lastResults(): readonly Result[] {
    return this.#connection.lastResults;
  }

  /** Statements that the next flight takes with it. */
  get prepended(): readonly PrependedStatement[] {
    return this.#prepended;
  }

  /** Sends the statement in front of the next flight, without a round trip of its own. */
  prepend(statement: PrependedStatement): void {
    this.#prepended = [...this.#prepended, statement];
  }

  /**
   * Takes back a statement that is still to be sent, and all that were prepended after it but the ends of portals. Says
   * whether it was still to be sent.
   */
  removePrepended(statement: PrependedStatement): boolean {
    const index = this.#prepended.indexOf(statement);
    if (index === -1) return false;
    this.#prepended = [
      ...this.#prepended.slice(0, index),
      ...this.#prepended.slice(index).filter(endsPortal),
    ];
    return true;
  }

  /** Prepends the statements in place of all others but the ends of portals. */
  replacePrepended(statements: readonly PrependedStatement[]): void {
    this.#prepended = [...statements, ...this.#prepended.filter(endsPortal)];
  }

  /** Whether a write must not share its flight with COMMIT: on a socket that was cut in silence it could not be replayed. */
  async mustSendAheadOfCommit(): Promise<boolean> {
    if (this.#hasBegun || this.#request.settings.readOnly) return false;
    const { idleMs = 0 } = await this.#connection.open();
    return idleMs > TRUSTED_IDLE_MS;
  }

  plan(own: readonly FlightPart[], { commits }: { commits: boolean }): FlightPlan {
    const runsStatements = own.length + this.#prepended.length > 0;
    return new FlightPlan({
      begin: this.#hasBegun ? [] : beginStatements(this.#request.settings),
      prepended: this.#prepended,
      own,
      asksXid: this.#xid?.mustAsk({ runsStatements }) ?? false,
      commits,
      mayWrite: this.#xid !== undefined,
    });
  }

  /** Rejects where no definite answer came. */
  async send(plan: FlightPlan): Promise<FlightAnswer> {
    const answer = this.#hasBegun ? await this.#send(plan) : await this.#sendFirst(plan);
    this.#hasBegun = true;
    // What was prepended while the flight was under way stays for the next one.
    this.#prepended = this.#prepended.slice(plan.prepended.length);
    plan.markPrepended(answer.results);
    return answer;
  }

  /** A connection that died while it was idle costs the caller nothing, where nothing can have happened twice. */
  async #sendFirst(plan: FlightPlan): Promise<FlightAnswer> {
    const { idleMs } = await this.#connection.open();
    try {
      return await this.#send(plan);
    } catch (error) {
      const commits = plan.commits && !this.#request.settings.readOnly;
      if (idleMs === undefined || !isReplayable(error, { commits })) throw error;
      this.#connection.destroy();
      this.#context.metrics.counters.replayed++;
      await this.#connection.open({ fresh: true });
      return await this.#send(plan);
    }
  }

  async #send(plan: FlightPlan): Promise<FlightAnswer> {
    try {
      return await this.#connection.send(plan);
    } finally {
      const result = plan.xidResult(this.#connection.lastResults);
      this.#xid?.read(result, { wasAsked: plan.asksXid });
    }
  }

  /** Gives the connection back. */
  release(): Promise<void> | undefined {
    return this.#connection.release();
  }

  /** Closes the connection. Says whether there was one. */
  destroy(): boolean {
    return this.#connection.destroy();
  }

  /** The transaction has ended. Counts once. */
  end(outcome: TransactionOutcome, error: Error | undefined): void {
    this.#connection.end(outcome, error);
  }
}

/** Its portal may be older than the savepoint that is undone, and would keep its table in use. */
function endsPortal({ part }: PrependedStatement): boolean {
  return "close" in part;
}
