/**
 * Runs a plan on a simulated clock. Admission, queues, connects and leases are those of the real `Pool`, one for each
 * instance; the threads, the network and the database are queues that take the plan's times.
 */
import { ConnectError, OwnerScope, Pool } from "../../db/mod.ts";
import { DATABASE_DEFAULTS } from "../../library/database_config.ts";
import {
  ADMISSION,
  BEFORE_FLIGHT,
  type CapacityPlan,
  CONNECT_ROUND_TRIPS,
  type Times,
  type UnitCost,
} from "./plan.ts";
import { Servers } from "./servers.ts";
import { SimulatedClock } from "./simulated_clock.ts";
import {
  SimulatedConnection,
  simulatedFlight,
  type SimulatedServer,
} from "./simulated_connection.ts";

export interface SimulationOptions {
  /** What is counted, after `warmUpMs`. */
  readonly measureMs: number;
  readonly warmUpMs: number;
  /**
   * `random`: independent of one another, as of many clients. `even`: at equal distances. `clients`: so many send their
   * next request once the last is answered.
   */
  readonly arrivals: "random" | "even" | { readonly clients: number };
  /** Requests are sent at the next multiple of it, as by a generator that wakes up so often. Latencies count from their times. */
  readonly tickMs?: number | undefined;
  readonly seed: number;
}

export interface Figures {
  readonly served: number;
  readonly refused: number;
  /** Served requests a second, without those that were answered after the last came. */
  readonly goodput: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly refusedP99Ms: number;
  /** The most connections that were open at once. */
  readonly connections: number;
  /** The share of the time in which they were busy. */
  readonly service: number;
  readonly database: number;
}

/** How often a read is moved behind others before it waits for a connection of its own, as in a session. */
const MOVES_MAX = 3;

/** A client whose request was refused sends the next one after this pause. */
const REFUSED_PAUSE_MS = 1;

export async function simulate(plan: CapacityPlan, options: SimulationOptions): Promise<Figures> {
  return await new Simulation(plan, options).run();
}

interface Instance {
  readonly pool: Pool;
  readonly scope: OwnerScope;
  readonly thread: Servers;
  /** Requests in progress. */
  requests: number;
}

class Simulation {
  readonly #plan: CapacityPlan;
  readonly #options: SimulationOptions;
  readonly #clock = new SimulatedClock();
  readonly #random: () => number;
  readonly #instances: readonly Instance[];
  readonly #database: Servers;
  readonly #pooler: Servers | undefined;
  readonly #server: SimulatedServer;
  readonly #served: number[] = [];
  readonly #refused: number[] = [];
  #inTime = 0;
  #countFromMs = 0;
  #arrived = 0;
  #open = 0;
  #mostOpen = 0;

  constructor(plan: CapacityPlan, options: SimulationOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#random = randomOf(options.seed);
    this.#database = new Servers(this.#clock, plan.cores);
    const { serverConnections } = plan;
    if (serverConnections !== undefined) this.#pooler = new Servers(this.#clock, serverConnections);
    this.#server = {
      clock: this.#clock,
      latencyMs: plan.latencyMs,
      isDirect: serverConnections === undefined,
      delayMs: () => this.#oneOf(plan.jitterMs),
      work: (cost, done) => this.#work(cost, done),
    };
    this.#instances = Array.from({ length: plan.instances }, () => this.#newInstance());
  }

  async run(): Promise<Figures> {
    const { warmUpMs, measureMs, arrivals } = this.#options;
    await this.#openConnections();
    const startMs = this.#countFromMs = this.#clock.now() + warmUpMs;
    const endMs = startMs + measureMs;
    if (typeof arrivals !== "object") this.#arriveNext(arrivals, { endMs, lastMs: undefined });
    else for (let k = 0; k < arrivals.clients; k++) this.#again(endMs);
    await this.#clock.run(startMs);
    const before = { inTime: this.#inTime, ...this.#busyMs() };
    await this.#clock.run(endMs);
    const after = { inTime: this.#inTime, ...this.#busyMs() };
    // What is still queued is answered, or times out.
    await this.#clock.run(endMs + DATABASE_DEFAULTS.pool.acquireTimeoutMs);
    return {
      served: this.#served.length,
      refused: this.#refused.length,
      goodput: (after.inTime - before.inTime) * 1_000 / measureMs,
      p50Ms: quantile(this.#served, 0.5),
      p99Ms: quantile(this.#served, 0.99),
      refusedP99Ms: quantile(this.#refused, 0.99),
      connections: this.#mostOpen,
      service: (after.service - before.service) / (measureMs * this.#plan.instances),
      database: (after.database - before.database) / (measureMs * this.#plan.cores),
    };
  }

  /** As in a service that has been at work for a while: the connections that a pool keeps are open. */
  async #openConnections(): Promise<void> {
    const leases = this.#instances.flatMap(({ pool, scope }) =>
      Array.from({ length: this.#plan.size }, () => pool.acquire({ scope }).catch(() => undefined))
    );
    await this.#clock.run(DATABASE_DEFAULTS.pool.acquireTimeoutMs);
    for (const lease of await Promise.all(leases)) void lease?.release();
  }

  #busyMs(): { service: number; database: number } {
    return {
      service: this.#instances.reduce((sum, { thread }) => sum + thread.busyMs, 0),
      database: this.#database.busyMs,
    };
  }

  #newInstance(): Instance {
    const { size, overflow, readDepth } = this.#plan;
    const thread = new Servers(this.#clock, 1);
    const pool = new Pool({
      ...DATABASE_DEFAULTS.pool,
      connectTimeoutMs: DATABASE_DEFAULTS.connectTimeoutMs,
      recycleMs: Infinity,
      size,
      maxOverflow: overflow,
      readDepth,
      clock: this.#clock,
      random: this.#random,
      connect: () => this.#connect(thread),
    });
    return { pool, scope: OwnerScope.lasting(), thread, requests: 0 };
  }

  async #connect(thread: Servers): Promise<SimulatedConnection> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#clock.after(CONNECT_ROUND_TRIPS * 2 * this.#plan.latencyMs, resolve);
    await promise;
    if (this.#open >= this.#plan.maxConnections) {
      throw new ConnectError("Cannot connect to PostgreSQL: sorry, too many clients already");
    }
    this.#mostOpen = Math.max(this.#mostOpen, ++this.#open);
    return new SimulatedConnection(this.#server, {
      read: ({ serviceMs }, done) => this.#compute(thread, serviceMs * (1 - BEFORE_FLIGHT), done),
      onShut: () => this.#open--,
    });
  }

  #arriveNext(
    arrivals: "random" | "even",
    { endMs, lastMs }: { endMs: number; lastMs: number | undefined },
  ): void {
    const averageMs = 1_000 / this.#plan.perSecond;
    const nowMs = this.#clock.now();
    const dueMs = lastMs === undefined
      ? nowMs + averageMs / 2
      : lastMs + (arrivals === "even" ? averageMs : this.#exponential(averageMs));
    if (dueMs > endMs) return;
    const { tickMs } = this.#options;
    const sentMs = tickMs === undefined ? dueMs : Math.ceil(dueMs / tickMs) * tickMs;
    this.#clock.after(Math.max(0, sentMs - nowMs), () => {
      this.#arrive(() => {}, dueMs);
      this.#arriveNext(arrivals, { endMs, lastMs: dueMs });
    });
  }

  #again(endMs: number): void {
    if (this.#clock.now() < endMs) this.#arrive(() => this.#again(endMs));
  }

  /** One request, from its arrival to its answer. */
  #arrive(done: () => void, sinceMs = this.#clock.now()): void {
    const { read, write, writes } = this.#plan;
    const instance = this.#instances[this.#arrived++ % this.#instances.length]!;
    const { thread } = instance;
    const isRead = this.#random() >= writes;
    const cost = isRead ? read : write;
    const pauseMs = this.#pauseMs(++instance.requests);
    this.#compute(thread, cost.serviceMs * ADMISSION + pauseMs, () => {
      this.#unit(instance, cost, { shares: isRead }).then(() => {
        instance.requests--;
        this.#inTime++;
        this.#count(this.#served, sinceMs);
        done();
      }, () => {
        instance.requests--;
        this.#count(this.#refused, sinceMs);
        this.#clock.after(REFUSED_PAUSE_MS, done);
      });
    });
  }

  #compute(thread: Servers, taskMs: number, done: () => void): void {
    thread.run(taskMs + (thread.isIdle ? this.#plan.wakeMs : 0), done);
  }

  /** One flight, which is sent again if a read in front of it takes long. Rejects if the pool refuses it. */
  async #unit(
    { pool, scope, thread }: Instance,
    cost: UnitCost,
    { shares }: { shares: boolean },
  ): Promise<void> {
    for (let moves = 0;; moves++) {
      const lease = await pool.acquire({
        scope,
        shares: shares && moves < MOVES_MAX,
        again: moves > 0,
      });
      const { promise: isEncoded, resolve } = Promise.withResolvers<void>();
      this.#compute(thread, cost.serviceMs * (BEFORE_FLIGHT - ADMISSION), resolve);
      await isEncoded;
      try {
        await lease.connection.flight(simulatedFlight(cost), { isShared: lease.isShared });
        return void lease.release();
      } catch (error) {
        void lease.destroy();
        if (lease.lostPlace !== "moved") throw error;
      }
    }
  }

  /** What the database does for a flight. A pooler lends a server connection for as long. */
  #work({ databaseMs, diskMs }: UnitCost, done: () => void): void {
    const clock = this.#clock;
    const lentMs = this.#pooler?.nextStartMs ?? clock.now();
    const fromMs = Math.max(lentMs, this.#database.nextStartMs);
    const untilMs = fromMs + this.#exponential(databaseMs);
    this.#database.occupy(fromMs, untilMs);
    const endMs = untilMs + this.#exponential(diskMs);
    this.#pooler?.occupy(lentMs, endMs);
    clock.after(endMs - clock.now(), done);
  }

  #count(times: number[], sinceMs: number): void {
    if (sinceMs > this.#countFromMs) times.push(this.#clock.now() - sinceMs);
  }

  #pauseMs(requests: number): number {
    const { perRequest, lengthsMs, perConcurrentMs } = this.#plan.pauses;
    if (this.#random() >= perRequest) return 0;
    return this.#oneOf(lengthsMs) + requests * perConcurrentMs;
  }

  #oneOf(times: Times): number {
    return times[Math.floor(this.#random() * times.length)] ?? 0;
  }

  #exponential(averageMs: number): number {
    return -averageMs * Math.log(1 - this.#random());
  }
}

/** Numbers from 0 up to 1, the same for the same seed: https://en.wikipedia.org/wiki/Xorshift */
function randomOf(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
