import type { Connection } from "../../src/db/driver/driver.ts";
import { CircuitBreaker } from "../../src/db/pool/circuit_breaker.ts";
import type { ManualClock } from "./manual_clock.ts";
import { PoolPeer } from "./pool_peer.ts";
import { ScriptedDriver, serverError } from "./scripted_driver.ts";

/** What happens to a connect: it succeeds at once, waits for the test, or is refused at once. */
export type Mood = "up" | "slow" | "down";

interface ConnectOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly untilReady: boolean;
}

/** The database in the pool's model: a scripted driver that keeps the driver's contract on the test's clock. */
export class ModelDatabase {
  mood: Mood = "up";
  readonly peers: PoolPeer[] = [];
  /** The most connects that may have failed since the last success. One that took long counts twice. */
  failuresInRow = 0;
  /** When a connect last began or failed. */
  lastTriedMs = -Infinity;
  #failuresInAir = 0;
  readonly #clock: ManualClock;
  readonly #driver: ScriptedDriver;
  readonly #heedsAbort: boolean;

  constructor(
    clock: ManualClock,
    { pipelined, heedsAbort }: { pipelined: boolean; heedsAbort: boolean },
  ) {
    this.#clock = clock;
    this.#heedsAbort = heedsAbort;
    this.#driver = new ScriptedDriver({
      pipelined,
      onConnect: (connection) => this.#admit(new PoolPeer(connection, clock)),
      reply: async ({ text }, connection) => {
        const peer = this.peers.find((peer) => peer.connection === connection)!;
        await peer.answer(text);
        const fails = text === "fail" || (text === "ROLLBACK" && peer.cannotRollBack);
        return fails ? serverError("22012", "division by zero") : undefined;
      },
    });
  }

  /** Sockets that are open at the server. */
  get open(): number {
    return this.peers.filter(({ phase, shut }) => phase !== "failed" && !shut).length;
  }

  /** Call this after `flushPromises()`. */
  turnThePage(): void {
    this.#failuresInAir = 0;
  }

  async connect({ signal, ...options }: ConnectOptions): Promise<Connection> {
    const { timeoutMs } = options;
    const connecting = this.#driver.connect(this.#heedsAbort ? { ...options, signal } : options);
    const peer = this.peers.at(-1)!;
    signal.addEventListener("abort", () => {
      peer.isGivenUp = true;
      peer.noteTouch();
    });
    this.#bound(peer, timeoutMs);
    try {
      const connection = await connecting;
      peer.phase = "given";
      peer.idleSinceMs = this.#clock.now();
      return connection;
    } catch (error) {
      peer.phase = "failed";
      if (!signal.aborted) this.#failed(peer);
      throw error;
    }
  }

  #admit(peer: PoolPeer): Promise<void> {
    this.peers.push(peer);
    this.lastTriedMs = this.#clock.now();
    const { connection } = peer;
    connection.ready.then(() => {
      // The pool may learn of a success and of a failure at the same moment in another order.
      this.failuresInRow = this.#failuresInAir;
    }, () => {
      if (peer.phase === "given" && peer.refused) this.#failed(peer);
    });
    if (this.mood === "up") peer.gate.resolve();
    if (this.mood === "down") peer.gate.reject(new Error("refused"));
    return peer.gate.promise;
  }

  #failed({ bornMs }: PoolPeer): void {
    const failures = this.#clock.now() - bornMs > CircuitBreaker.longestWindowMs ? 2 : 1;
    this.failuresInRow += failures;
    this.#failuresInAir += failures;
    this.lastTriedMs = this.#clock.now();
  }

  /** Ends a connect and a login at the timeout, as the driver's contract requires. */
  #bound(peer: PoolPeer, timeoutMs: number): void {
    const giveUp = this.#clock.after(timeoutMs, () => {
      if (peer.hasVanished) return;
      peer.gate.reject(new Error("timed out"));
      if (peer.connection.state === "opening") peer.connection.cut();
    });
    peer.connection.ready.then(giveUp, giveUp);
  }
}
