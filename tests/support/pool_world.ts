import { Pool } from "../../src/db/mod.ts";
import type { Clock } from "../../src/db/time/clock.ts";
import type { Lease } from "../../src/db/pool/lease.ts";
import { LeaseHolder } from "../../src/db/pool/lease_holder.ts";
import type { ManualClock } from "./manual_clock.ts";
import { ModelDatabase } from "./model_database.ts";
import type { PoolPeer } from "./pool_peer.ts";
import { ownedTimers, SimulatedScope } from "./simulated_scope.ts";

export interface WorldOptions {
  readonly size: number;
  readonly maxOverflow: number;
  readonly maxWaiters: number;
  readonly shedTargetMs: number;
  readonly recycleMs: number;
  readonly pipelined: boolean;
  /** Whether a connect ends when the pool aborts it. */
  readonly heedsAbort: boolean;
  /** One scope for all calls; otherwise two lasting ones and two requests. */
  readonly oneScope: boolean;
  /** Whether the runtime ties I/O to scopes, which may then end without a call of `endScope()`. */
  readonly bound: boolean;
  readonly random: number;
}

export const ACQUIRE_TIMEOUT_MS = 2_000;
const CONNECT_TIMEOUT_MS = 5_000;
export const IDLE_TIMEOUT_MS = 1_500;
const HOLD_MS = 1_000;
/** The longest time until the permits of a scope that was killed are back, whatever they were used for. */
export const LOST_PERMIT_MS = CONNECT_TIMEOUT_MS + IDLE_TIMEOUT_MS + HOLD_MS + 2_000;

const OUTCOMES = {
  AcquireTimeoutError: "timedOut",
  DeadlineError: "aborted",
  PoolOverloadedError: "refused",
  PoolClosedError: "closed",
  ConnectError: "connectFailed",
  ScopeError: "holdAndWait",
} as const;
type Outcome = typeof OUTCOMES[keyof typeof OUTCOMES];

/** One call of `acquire`. */
export interface Ask {
  readonly scope: SimulatedScope;
  /** In a lasting scope only; `undefined` for a caller that belongs to no request. */
  readonly holder: LeaseHolder | undefined;
  readonly fresh: boolean;
  readonly sinceMs: number;
  readonly caller: AbortController;
  readonly abortedBefore: boolean;
  /** How many others waited when it came. */
  readonly behind: number;
  /** Whether the lease lasts as long as the scope. */
  readonly keeps: boolean;
  /** Whether it was in the queue after the last `flushPromises()`. */
  waited: boolean;
  outcome: "waiting" | "granted" | Outcome | "unknown" | "dead";
  /** Its position in the order in which calls ended. */
  turn: number;
}

/** One lease. */
export interface Holding {
  readonly ask: Ask;
  readonly lease: Lease;
  readonly peer: PoolPeer;
  /** Whether no earlier lease had sent anything on the connection. */
  readonly isFirst: boolean;
  /** Whether the connection was known to be dead before it was leased. */
  readonly wasDead: boolean;
  /** Whether it had been idle, and was older than a known crash of the server. */
  readonly wasOutlived: boolean;
  /** Whether it was leased outside any transaction and flight. */
  readonly wasClean: boolean;
  /** Whether its holder has given it back. */
  returned: boolean;
  /** Whether the pool has taken it back. */
  back: boolean;
  /** Whether it was released in a transaction that can still be rolled back. */
  owesRollback: boolean;
}

/** A pool on a model database, and a record of every call, lease and failure. */
export class PoolWorld {
  readonly options: WorldOptions;
  readonly clock: ManualClock;
  readonly database: ModelDatabase;
  readonly pool: Pool;
  readonly asks: Ask[] = [];
  readonly holdings: Holding[] = [];
  readonly scopes: SimulatedScope[];
  readonly ended = new Set<SimulatedScope>();
  /** The requests that share the lasting scopes. Every third caller belongs to none. */
  readonly #holders = [undefined, new LeaseHolder(), new LeaseHolder()];
  /** Peers that were known to be dead after the last `flushPromises()`. */
  readonly dead = new Set<PoolPeer>();
  /** Peers that were known to be older than a crash of the server by then. */
  readonly outlived = new Set<PoolPeer>();
  /** Connects that failed, and calls that failed by it, up to the last `flushPromises()`. */
  readonly failed = { connects: 0, told: 0 };
  /** How many timers the pool has on its clock. */
  timers = 0;
  closing: Promise<void> | undefined;
  closed = false;
  /** Errors of promises that must never reject. */
  readonly rejections: unknown[] = [];
  #turns = 0;

  constructor(clock: ManualClock, options: WorldOptions) {
    this.options = options;
    this.clock = clock;
    this.database = new ModelDatabase(clock, options);
    const kinds = options.oneScope ? [true] : [true, true, false, false];
    this.scopes = kinds.map((lasting) => this.#newScope(lasting));
    this.pool = new Pool({
      connect: (connectOptions) => this.database.connect(connectOptions),
      size: options.size,
      maxOverflow: options.maxOverflow,
      acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      recycleMs: options.recycleMs,
      idleTimeoutMs: IDLE_TIMEOUT_MS,
      maxWaiters: options.maxWaiters,
      shedTargetMs: options.shedTargetMs,
      clock: this.#counting(options.bound ? ownedTimers(clock) : clock),
      random: () => options.random,
    });
  }

  get limit(): number {
    return this.options.size + this.options.maxOverflow;
  }

  get waiting(): Ask[] {
    return this.asks.filter(({ outcome }) => outcome === "waiting");
  }

  get out(): Holding[] {
    return this.holdings.filter(({ returned }) => !returned);
  }

  acquire(
    scope: SimulatedScope,
    { fresh, aborted, keeps = false }: { fresh: boolean; aborted: boolean; keeps?: boolean },
  ): void {
    const caller = new AbortController();
    if (aborted) caller.abort();
    const holder = scope.lasting ? this.#holders[this.asks.length % 3] : undefined;
    const ask: Ask = {
      scope,
      holder,
      fresh,
      sinceMs: this.clock.now(),
      caller,
      abortedBefore: aborted,
      behind: this.waiting.length,
      keeps,
      waited: false,
      outcome: "waiting",
      turn: Infinity,
    };
    this.asks.push(ask);
    scope.enter(() =>
      this.pool.acquire({
        scope,
        ...(holder === undefined ? {} : { holder }),
        signal: caller.signal,
        fresh,
        holdMs: this.options.bound ? HOLD_MS : Infinity,
      })
    )
      .then((lease) => {
        if (scope.isDead) return;
        ask.turn = ++this.#turns;
        ask.outcome = "granted";
        this.#hold(ask, lease);
      }, (error: Error) => {
        if (scope.isDead) return;
        ask.turn = ++this.#turns;
        ask.outcome = OUTCOMES[error.name as keyof typeof OUTCOMES] ?? "unknown";
      });
  }

  giveBack(holding: Holding, how: "release" | "destroy"): void {
    const { state, status } = holding.lease.connection;
    holding.owesRollback ||= !holding.returned && how === "release" && state === "idle" &&
      status !== "I";
    holding.returned = true;
    holding.ask.scope.enter(() => holding.lease[how]()).then(() => {
      if (!holding.back) holding.peer.idleSinceMs = this.clock.now();
      holding.back = true;
    }, (error) => this.rejections.push(error));
  }

  endScope(scope: SimulatedScope): void {
    if (!scope.lasting) this.#replace(scope);
    scope.enter(() => this.pool.endScope(scope)).catch((error) => this.rejections.push(error));
  }

  /** The runtime ends a request and its sockets. The pool is not told. */
  kill(scope: SimulatedScope): void {
    this.#replace(scope);
    scope.isDead = true;
    for (const peer of this.database.peers) if (peer.owner === scope) peer.vanish();
    for (const ask of this.asks) {
      if (ask.scope === scope && ask.outcome === "waiting") ask.outcome = "dead";
    }
    for (const holding of this.out) if (holding.ask.scope === scope) holding.returned = true;
  }

  newRequest(): SimulatedScope {
    return this.#newScope(false);
  }

  close(timeoutMs: number): void {
    this.closing = this.pool.close({ timeoutMs });
    this.closing.then(() => this.closed = true, (error) => this.rejections.push(error));
  }

  /** How many connects the database has made fail. */
  get failedConnects(): number {
    return this.database.peers.filter(({ phase, refused }) => phase === "failed" && refused).length;
  }

  count(outcome: Ask["outcome"]): number {
    return this.asks.filter((ask) => ask.outcome === outcome).length;
  }

  /** Call this after `flushPromises()` and the checks: remembers the present state as the former one. */
  turnThePage(): void {
    this.database.turnThePage();
    Object.assign(this.failed, {
      connects: this.failedConnects,
      told: this.count("connectFailed"),
    });
    for (const ask of this.waiting) ask.waited = true;
    for (const peer of this.database.peers) {
      if (peer.connection.state === "closed") this.dead.add(peer);
      if (peer.outlived) this.outlived.add(peer);
    }
  }

  #hold(ask: Ask, lease: Lease): void {
    const peer = this.database.peers.find(({ connection }) => connection === lease.connection)!;
    const isFirst = peer.leases++ === 0;
    const { state, status } = lease.connection;
    this.holdings.push({
      ask,
      lease,
      peer,
      isFirst,
      wasDead: this.dead.has(peer),
      wasOutlived: this.outlived.has(peer) && lease.idleMs !== undefined,
      wasClean: state !== "busy" && (status === undefined || status === "I"),
      returned: false,
      back: false,
      owesRollback: false,
    });
  }

  #newScope(lasting: boolean): SimulatedScope {
    return SimulatedScope.open({ lasting, isBound: this.options.bound });
  }

  #replace(scope: SimulatedScope): void {
    this.ended.add(scope);
    const at = this.scopes.indexOf(scope);
    if (at >= 0) this.scopes[at] = this.#newScope(false);
  }

  #counting(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      after: (timeMs, callback) => {
        let isPending = true;
        this.timers++;
        const done = () => {
          if (isPending) this.timers--;
          isPending = false;
        };
        const cancel = clock.after(timeMs, () => {
          done();
          callback();
        });
        return () => {
          done();
          cancel();
        };
      },
    };
  }
}
