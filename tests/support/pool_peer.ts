import { type ScriptedConnection, serverError } from "./scripted_driver.ts";
import type { ManualClock } from "./manual_clock.ts";
import { currentScope, type SimulatedScope } from "./simulated_scope.ts";

/** The far end of one connection, as the database knows it. It does what the test says, within the driver's bounds. */
export class PoolPeer {
  readonly connection: ScriptedConnection;
  /** What the connect waits for. */
  readonly gate = Promise.withResolvers<void>();
  phase: "connecting" | "given" | "failed" = "connecting";
  /** Whether no socket is left. */
  shut = false;
  hasVanished = false;
  loggedIn = false;
  /** Whether it answers ROLLBACK with an error. */
  cannotRollBack = false;
  /** Whether it ended before its login was accepted, through no act of the pool's. */
  refused = false;
  readonly bornMs: number;
  /** When it was last given to the pool, or back to it. */
  idleSinceMs = 0;
  /** Whether the server has crashed since it was asked for. */
  outlived = false;
  /** How many leases have had it. */
  leases = 0;
  /** On whose behalf it was opened. */
  readonly owner: SimulatedScope | undefined = currentScope();
  /** How often it was touched on somebody else's behalf. */
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
      this.refused = connection.closes === 0;
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

  /** Leaves goodbyes and rollbacks unanswered, until told otherwise. */
  set mute(mute: boolean) {
    this.#mute = mute;
    if (!mute) this.answerAll();
  }

  /** What the answer to a statement waits for. */
  answer(text: string): Promise<void> | undefined {
    return text === "hang" || (this.#mute && text === "ROLLBACK") ? this.#hold() : undefined;
  }

  /** To be called by whoever does I/O on it. */
  noteTouch(): void {
    if (currentScope() !== this.owner) this.foreignTouches++;
  }

  /** Does what it is asked, from now on and of what it has left undone. */
  behave(): void {
    this.gate.resolve();
    this.connection.logIn();
    this.mute = false;
    this.answerAll();
  }

  /** Its owner has ended: the far end is gone, and this side hears of nothing. */
  vanish(): void {
    this.shut = true;
    this.hasVanished = true;
  }

  /** Answers what hangs. */
  answerAll(): void {
    for (const resolve of this.#held) resolve();
    this.#held.clear();
  }

  /** The server says that it has crashed. */
  crash(): void {
    this.connection.cut({ fatal: serverError("57P02", "crash of another process", "FATAL") });
  }

  /** The socket is gone, and nothing on this side has noticed. */
  dieUnnoticed(): void {
    if (this.connection.state === "idle") this.connection.state = "closed";
  }

  #hold(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held.add(resolve);
    return promise;
  }
}
