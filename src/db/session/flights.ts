/**
 * Composes and sends the flights of one transaction, one after the other, and reads the xid from their answers. Sends
 * the first flight again if its connection had died while it was idle.
 */
import { changesData } from "../driver/command_tag.ts";
import type {
  FlightAnswer,
  FlightPart,
  Portal,
  Result,
  Statement,
  TransactionStatus,
} from "../driver/driver.ts";
import { isReplayable } from "../failures/classify.ts";
import { assertSettings } from "./assert_settings.ts";
import { beginStatements, mayOmitBegin } from "./begin.ts";
import { FlightPlan, type PrependedStatement } from "./flight_plan.ts";
import { LastingState } from "./lasting_state.ts";
import type { Lease } from "../pool/lease.ts";
import type { Position } from "../pool/replicas/position.ts";
import { type ConnectionWish, LeasedConnection } from "./leased_connection.ts";
import { ServerSession } from "./server_session.ts";
import type { TransactionOutcome } from "./observer.ts";
import type { TransactionContext, TransactionRequest } from "./transaction_context.ts";
import { isPlainRead, mayEnd } from "./transaction_control.ts";
import { type TransactionId, XidTracker } from "./xid.ts";

/**
 * A socket idle for longer than this may be dead without our knowing. A write is then sent before COMMIT, in a flight
 * of its own, so that it can be replayed safely.
 */
const TRUSTED_IDLE_MS = 1_000;

/** How often a read goes behind others after reads in front of it took long. */
const MOVES_MAX = 3;

const ANY_CONNECTION: ConnectionWish = {};

/** What a rollback to a savepoint sets back. */
export interface FlightMarks {
  readonly hasWritten: boolean;
  /** Whether a commit leaves state on the connection. */
  readonly leavesState: boolean;
}

export class Flights {
  /** Whether a replica answers the transaction. */
  isOnReplica = false;
  /** If it has committed, what the primary had written then. Only where the database has replicas. */
  position: Position | undefined;
  readonly #context: TransactionContext;
  readonly #request: TransactionRequest;
  readonly #connection: LeasedConnection;
  #lasting = new LastingState();
  /** `undefined` in a read-only transaction. */
  readonly #xid: XidTracker | undefined;
  #prepended: readonly PrependedStatement[] = [];
  /** `undefined` before the first flight. */
  #session: ServerSession | undefined;
  #hasBegun = false;
  /** Whether a command tag shows a write. */
  #hasWritten = false;
  #portals = 0;
  /** What the first flight needs of its connection. */
  #wish = ANY_CONNECTION;

  constructor(context: TransactionContext, request: TransactionRequest) {
    this.#context = context;
    this.#request = request;
    this.#connection = new LeasedConnection(context, request);
    this.#xid = request.settings.readOnly ? undefined : new XidTracker(context.clusters);
  }

  /** The status byte of the connection; `undefined` without a connection. */
  get status(): TransactionStatus | undefined {
    return this.#connection.status;
  }

  /** A lost COMMIT is looked up by it. `undefined` until the server has assigned an xid. */
  get transactionId(): TransactionId | undefined {
    return this.#xid?.transactionId;
  }

  /** Whether a connection that had been idle in the pool turned out to be useless. */
  get hadStaleConnection(): boolean {
    return this.#connection.wasStale;
  }

  /** The results of the newest flight that have arrived. */
  get lastResults(): readonly Result[] {
    return this.#connection.lastResults;
  }

  /** The statements at the front of the next flight. */
  get prepended(): readonly PrependedStatement[] {
    return this.#prepended;
  }

  /** Puts the statement at the front of the next flight, behind those already there. */
  prepend(statement: PrependedStatement): void {
    this.#prepended = [...this.#prepended, statement];
  }

  /**
   * Removes a prepended statement that has not been sent, and those prepended after it, except the ends of portals.
   * Returns false if it has been sent already.
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

  /** See `Transaction.hasWritten`. */
  get hasWritten(): boolean {
    return this.#hasWritten || this.transactionId !== undefined;
  }

  /** For `undo`. */
  get marks(): FlightMarks {
    return { hasWritten: this.hasWritten, leavesState: this.#lasting.ifCommitted };
  }

  /** For a rollback to a savepoint: `statements` replace all prepended statements except the ends of portals. */
  undo(
    statements: readonly PrependedStatement[],
    { hasWritten, leavesState }: FlightMarks,
  ): void {
    this.#hasWritten = hasWritten;
    this.#lasting.ifCommitted = leavesState;
    this.#prepended = [...statements, ...this.#prepended.filter(endsPortal)];
  }

  /**
   * A portal for fetching a statement's rows in portions. Throws `RangeError` if `maxRows` is not from 1 to 2^31 - 1.
   */
  newPortal({ maxRows }: { maxRows: number }): Portal {
    if (!(Number.isInteger(maxRows) && maxRows >= 1 && maxRows < 2 ** 31)) {
      throw new RangeError(
        `Cannot fetch rows in portions as their size must be a whole number from 1 to 2147483647: current value is ${maxRows}`,
      );
    }
    return { name: `stream_${++this.#portals}`, maxRows };
  }

  /**
   * The whole transaction is to be one flight, of these statements and COMMIT. If it reads only, others may be on its
   * connection. One that is deferrable waits at its beginning, for as long as others write.
   */
  beginWhole(own: readonly FlightPart[]): void {
    if (own.some(mayEnd)) return;
    const { readOnly, deferrable } = this.#request.settings;
    const shares = readOnly === true && !deferrable && this.#prepended.length === 0 &&
      own.every(isPlainRead);
    this.#wish = { isWhole: true, shares };
  }

  /** Whether a write must not share its flight with COMMIT, because the socket may be dead: see `TRUSTED_IDLE_MS`. */
  async mustSendBeforeCommit(): Promise<boolean> {
    if (this.#hasBegun || this.#request.settings.readOnly) return false;
    const { idleMs = 0 } = await this.#connection.open(this.#wish);
    return idleMs > TRUSTED_IDLE_MS;
  }

  plan(own: readonly FlightPart[], { commits }: { commits: boolean }): FlightPlan {
    if (!this.#hasBegun) assertSettings(this.#request.settings);
    return new FlightPlan({
      prepended: this.#prepended,
      own,
      commits,
      mayWrite: this.#xid !== undefined,
    });
  }

  /**
   * Rejects if the server gave no whole answer. Sends the first flight again if its connection had died while idle, or was
   * shared with others and was lost by them, and nothing can run twice.
   */
  async send(plan: FlightPlan): Promise<FlightAnswer> {
    let wish = this.#wish;
    if (!this.#hasBegun) {
      const answer = this.#request.replica && await this.#sendToReplica(plan);
      if (answer !== undefined) return this.#noteAnswer(plan, answer);
      await this.#connection.open(wish);
    }
    for (let moves = 0;;) {
      const { lease } = this.#connection;
      try {
        return this.#noteAnswer(plan, await this.#send(plan));
      } catch (error) {
        const commits = plan.mayCommit && !this.#request.settings.readOnly;
        const isMoved = wasMoved(error, lease);
        if (this.#hasBegun || lease === undefined) throw error;
        const mayBeDead = lease.isShared || lease.idleMs !== undefined;
        if (!isMoved && (wish.fresh || !mayBeDead)) throw error;
        if (!isReplayable(error, { commits })) throw error;
        void this.#connection.destroy();
        plan.wasSent = false;
        this.#xid?.forget();
        if (!isMoved) this.#context.metrics.counters.replayed++;
        wish = isMoved ? againBehindOthers(++moves) : afterDeath(lease);
        await this.#connection.open(wish);
      }
    }
  }

  #noteAnswer(plan: FlightPlan, answer: FlightAnswer): FlightAnswer {
    this.#hasBegun = true;
    // A statement that was prepended during the flight stays for the next one.
    this.#prepended = this.#prepended.slice(plan.prepended.length);
    plan.markPrepended(answer.results);
    this.#hasWritten ||= answer.results.some(({ command }) => changesData(command));
    return answer;
  }

  /** The answer of a replica that is new enough. `undefined` if there is none: the primary must answer. */
  async #sendToReplica(plan: FlightPlan): Promise<FlightAnswer | undefined> {
    const { replica, signal, settings } = this.#request;
    const { replicas, scope } = this.#context;
    const read = replica && replicas?.choose(replica, scope, settings);
    if (read === undefined) return undefined;
    let wish = this.#wish;
    for (let moves = 0;;) {
      try {
        await this.#connection.open({ ...wish, server: read.server });
        const answer = await this.#send(plan, read.question);
        this.isOnReplica = read.accepts(answer, plan.beginResult(answer.results));
        if (this.isOnReplica) return answer;
        void this.release({ isCommitted: answer.status === "I" });
        break;
      } catch (error) {
        const { lease } = this.#connection;
        const isMoved = wasMoved(error, lease);
        if (!isMoved && !read.isForPrimary(error, { signal, lease })) throw error;
        this.destroy();
        if (!isMoved) break;
        plan.wasSent = false;
        wish = againBehindOthers(++moves);
      }
    }
    this.#lasting = new LastingState();
    plan.wasSent = false;
    return undefined;
  }

  async #send(plan: FlightPlan, question?: Statement): Promise<FlightAnswer> {
    const { settings } = this.#request;
    const { replicas, clock } = this.#context;
    const { lease } = this.#connection;
    const sentAtMs = clock.now();
    const session = this.#hasBegun ? this.#session! : this.#beginSession(lease!, sentAtMs);
    const isImplicit = !this.#hasBegun && lease!.isShared && mayOmitBegin(settings, session.scope);
    const begin = this.#hasBegun ? [] : beginStatements(settings, session.scope, { isImplicit });
    plan.surround({
      begin: question === undefined ? begin : [...begin, question],
      question: settings.readOnly ? undefined : replicas?.question,
      // An endpoint's answer is whole or lost, and with it the xid.
      xidQuery: this.#connection.isRemote ? undefined : this.#xid?.queryFor(plan, session),
      isShared: lease?.isShared === true,
      isImplicit,
    });
    try {
      return await this.#connection.send(plan, sentAtMs);
    } finally {
      const { lastResults } = this.#connection;
      plan.markLasting(this.#lasting, lastResults);
      this.#xid?.read(plan.xidResult(lastResults), session);
      plan.noteIn(session, lastResults);
      if (plan.commits && !settings.readOnly) {
        this.position = replicas?.note(plan.answer(lastResults), sentAtMs);
      }
    }
  }

  /** The session of the server in which the transaction begins, on the connection that was leased. */
  #beginSession(lease: Lease, nowMs: number): ServerSession {
    const { defaults } = this.#context;
    return this.#session = new ServerSession(lease, this.#request.settings, { defaults, nowMs });
  }

  /** Gives the connection back, or closes it if the transaction has left state on it. */
  release({ isCommitted }: { isCommitted: boolean }): Promise<void> | undefined {
    return this.#lasting.remains({ isCommitted })
      ? this.#connection.destroy("leftState")
      : this.#connection.release();
  }

  /** Closes the connection. */
  destroy(): void {
    void this.#connection.destroy();
  }

  /** Records the end of the transaction. Only the first call counts. */
  end(outcome: TransactionOutcome, error: Error | undefined): void {
    this.#connection.end(outcome, error);
  }
}

/** Whether a read in front of it took long, and the caller did not give up. */
function wasMoved(error: unknown, lease: Lease | undefined): boolean {
  return lease?.lostPlace === "moved" && isReplayable(error, { commits: false });
}

/** A read that was moved goes behind others again. After `MOVES_MAX` times it waits for a connection of its own. */
function againBehindOthers(moves: number): ConnectionWish {
  return { shares: moves < MOVES_MAX, again: true };
}

/** The flight that ran when the connection was lost may be the cause: it runs alone. The flights behind it may share again. */
function afterDeath({ lostPlace }: Lease): ConnectionWish {
  return { fresh: true, shares: lostPlace === "behind" };
}

/**
 * Whether the part closes a portal. It must be sent even if the savepoint is undone: an older portal keeps its table in
 * use.
 */
function endsPortal({ part }: PrependedStatement): boolean {
  return "close" in part;
}
