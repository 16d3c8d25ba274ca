import { type ScriptedConnection, serverError } from "./scripted_driver.ts";
import type { ManualClock } from "./manual_clock.ts";
import { currentScope, type SimulatedScope } from "./simulated_scope.ts";

/** The server's side of one connection in the pool's model. The test decides what it does, within the driver's contract. */
export class PoolPeer {
  readonly connection: ScriptedConnection;
  /** The connect waits for this promise. */
  readonly gate = Promise.withResolvers<void>();
  phase: "connecting" | "given" | "failed" = "connecting";
  /** Whether its socket is closed. */
  shut = false;
  hasVanished = false;
  loggedIn = false;
  /** Whether the pool has aborted its connect. */
  isGivenUp = false;
  /** Whether it answers ROLLBACK with an error. */
  cannotRollBack = false;
  /** Whether it ended before its login was accepted, and not because the pool closed it. */
  refused = false;
  readonly bornMs: number;
  /** When the pool last got it, from a connect or from a lease. */
  idleSinceMs = 0;
  /** Whether the server has crashed since the connect began. */
  outlived = false;
  /** How many leases it has been given to. */
  leases = 0;
  /** The scope that opened it. */
  readonly owner: SimulatedScope | undefined = currentScope();
  /** How often another scope than its owner has done I/O on it. */
  foreignTouches = 0;
  #mute = false;
  readonly #held = new Set<() => void>();
  readonly #clock: ManualClock;

  constructor(connection: ScriptedConnection, clock: ManualClock) {
    this.connection = connection;
    this.#clock = clock;
    this.bornMs = clock.now();
    this.gate.promise.catch(() => {});
    connection.closed.then(() => {
      this.shut = true;
      this.answerAll();
    });
    connection.ready.then(() => {
      this.loggedIn = true;
    }, () => {
      this.refused = connection.closes === 0 && !this.isGivenUp;
    });
    const flight = connection.flight.bind(connection);
    connection.flight = (statements) => {
      this.noteTouch();
      return flight(statements);
    };
    const close = connection.close.bind(connection);
    connection.close = (options) => {
      this.noteTouch();
      if (this.#mute && !this.shut) {
        connection.goodbye = this.#hold();
        const giveUp = this.#clock.after(options.timeoutMs, () => this.answerAll());
        void connection.closed.then(giveUp);
      }
      return close(options);
    };
  }

  get mute(): boolean {
    return this.#mute;
  }

  /** While true, Terminate and ROLLBACK get no answer. */
  set mute(mute: boolean) {
    this.#mute = mute;
    if (!mute) this.answerAll();
  }

  /** The answer to the statement waits for this promise. */
  answer(text: string): Promise<void> | undefined {
    return text === "hang" || (this.#mute && text === "ROLLBACK") ? this.#hold() : undefined;
  }

  /** Call this at every I/O on the connection. */
  noteTouch(): void {
    if (currentScope() !== this.owner) this.foreignTouches++;
  }

  /** Answers everything from now on, and what it has left unanswered. */
  behave(): void {
    this.gate.resolve();
    this.connection.logIn();
    this.mute = false;
    this.answerAll();
  }

  /** The runtime has ended its owner: the socket is closed, and the driver does not learn of it. */
  vanish(): void {
    this.shut = true;
    this.hasVanished = true;
  }

  /** Answers everything that is held. */
  answerAll(): void {
    for (const resolve of this.#held) resolve();
    this.#held.clear();
  }

  /** Ends the connection with the FATAL error of a crashed server. */
  crash(): void {
    this.connection.cut({ fatal: serverError("57P02", "crash of another process", "FATAL") });
  }

  /** Ends an idle connection without any event on the client's side. */
  dieUnnoticed(): void {
    if (this.connection.state === "idle") this.connection.state = "closed";
  }

  #hold(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held.add(resolve);
    return promise;
  }
}
