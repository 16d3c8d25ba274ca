/** A caller's share of a connection on which several callers read at once. */
import type {
  Connection,
  ConnectionState,
  FlightAnswer,
  FlightOptions,
  FlightPart,
  TransactionStatus,
} from "../driver/driver.ts";
import { ConnectionLostError } from "../errors.ts";
import type { WatchedLease } from "./leak_watch.ts";
import type { DestroyCause, Lease, LeaseReturn, LostPlace, Place } from "./lease.ts";
import type { SharedConnection } from "./shared_connection.ts";
import type { QueueNode } from "./waiter_queue.ts";

/**
 * Looks like a connection of the caller's own, for one flight. It is `opening` until the server may begin with the flight:
 * the caller's timeout counts from then on (`onTurn`). The caller may leave at any time; its rows are then thrown away.
 */
export class Share implements Connection, Place, LeaseReturn {
  /** When it was leased, on the pool's clock. */
  readonly since: number;
  /** When the caller asked for a connection. */
  readonly askedAt: number;
  /** Whether it could go behind others or not: there were some, and it took a place on an open connection at once. */
  readonly hadChoice: boolean;
  readonly watch: QueueNode<WatchedLease> | undefined;
  /** The caller's lease, which has this share. */
  lease: Lease | undefined;
  readonly #shared: SharedConnection;
  /** Rejects the flight, once there is one. */
  #giveUp: ((error: Error) => void) | undefined;
  #onTurn: (() => void) | undefined;
  #hasLeft = false;
  /** How the caller has lost its place, if it has. */
  lostPlace: LostPlace | undefined;

  constructor(
    shared: SharedConnection,
    { since, askedAt, hadChoice, watch }: {
      since: number;
      askedAt: number;
      hadChoice: boolean;
      watch: QueueNode<WatchedLease> | undefined;
    },
  ) {
    this.#shared = shared;
    this.since = since;
    this.askedAt = askedAt;
    this.hadChoice = hadChoice;
    this.watch = watch;
  }

  /** Whether the caller has left before the answer came. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  get server(): Connection {
    return this.#shared.connection;
  }

  get state(): ConnectionState {
    const connection = this.server;
    if (this.#hasLeft || connection.state === "closed") return "closed";
    if (this.#giveUp === undefined) return connection.status === undefined ? "opening" : "idle";
    return this.#isItsTurn ? connection.state : "opening";
  }

  get status(): TransactionStatus | undefined {
    // The status byte is that of another caller's transaction.
    return this.server.status === undefined ? undefined : "I";
  }

  get processId(): number | undefined {
    return this.server.processId;
  }

  get isDirect(): boolean | undefined {
    return this.server.isDirect;
  }

  get closed(): Promise<Error | undefined> {
    return this.server.closed;
  }

  get ready(): Promise<void> {
    return this.server.ready;
  }

  get #isItsTurn(): boolean {
    return this.#shared.head === this;
  }

  flight(parts: readonly FlightPart[], options: FlightOptions = {}): Promise<FlightAnswer> {
    const shared = this.#shared;
    shared.enter(this);
    const { parsers, onNotice } = options;
    const answered = this.server.flight(parts, { parsers, onNotice, isShared: true });
    return new Promise((resolve, reject) => {
      this.#giveUp = reject;
      answered.then((answer) => {
        shared.noteAnswer(this);
        resolve(answer);
      }, (error) => {
        this.lostPlace ??= shared.noteLoss(this);
        // What the server says of the connection's end, such as a timeout, it says of the flight that ran.
        reject(
          this.lostPlace === "behind" ? lostPlaceError("it ended during another read") : error,
        );
      });
    });
  }

  /** A callback, as a promise for each read would cost more than the rest. */
  onTurn(callback: () => void): void {
    this.#onTurn = callback;
  }

  /** The server may begin with the flight: those in front of it are answered, and the login is done. */
  takeTurn(): void {
    this.#onTurn?.();
    this.#onTurn = undefined;
  }

  release(): Promise<void> {
    return this.#shared.giveBack(this);
  }

  destroy(cause: DestroyCause): Promise<void> {
    return this.#shared.giveBack(this, cause);
  }

  /** Cancels the flight if no other caller uses the connection. Otherwise the caller leaves. */
  cancel(options: { timeoutMs: number }): Promise<void> {
    if (!this.#shared.isAlone(this)) {
      this.leave(lostPlaceError("the caller gave up"));
      return Promise.resolve();
    }
    this.#shared.closesFor ??= "destroyed";
    return this.server.cancel(options);
  }

  close({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    if (this.#shared.isAlone(this)) return this.server.close({ timeoutMs });
    this.leave(lostPlaceError("the caller gave up"));
    return Promise.resolve();
  }

  /** A read in front of it takes long: its caller is to read on another connection. */
  move(): void {
    if (this.#hasLeft) return;
    this.lostPlace = "moved";
    this.leave(lostPlaceError("a read in front of it takes long"));
  }

  /** Ends the caller's part in the connection, with the error of its flight. The answer is thrown away when it comes. */
  leave(error: Error): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#shared.noteLeft(this);
    this.#giveUp?.(error);
  }
}

function lostPlaceError(reason: string): ConnectionLostError {
  return new ConnectionLostError(`Lost the place on a connection to PostgreSQL: ${reason}`, {
    cause: undefined,
    sent: true,
    begun: false,
    answered: [],
  });
}
