/** One run of one program on one pool, with events that strike at its points. */
import {
  Database,
  type Lease,
  OwnerScope,
  type Pool,
  type PoolOptions,
} from "../../../src/db/mod.ts";
import type { FlightPart } from "../../../src/db/driver/driver.ts";
import { type ScriptedConnection, ScriptedDriver } from "../../support/scripted_driver.ts";
import { SESSION_DEFAULTS } from "../../support/test_pool.ts";
import { type Random, seededRandom } from "../random.ts";
import { type Cheat, type CheatName, cheatOf } from "./cheats.ts";
import { labelOf } from "./model_backend.ts";
import { ModelLink } from "./model_link.ts";
import { ModelServer } from "./model_server.ts";
import type { Program, UnitPlan } from "./programs.ts";
import { strike, type StrikeEvent } from "./strikes.ts";
import { type Place, type Strike, Timeline } from "./timeline.ts";
import { textOf, Unit } from "./unit.ts";
import { WatchedPool } from "./watched_pool.ts";
import type { World } from "./worlds.ts";

export interface RunPlan {
  readonly program: Program;
  readonly world: World;
  readonly strikes: readonly Strike[];
  readonly seed: number;
  readonly cheat?: CheatName | undefined;
  readonly trace?: ((line: string) => void) | undefined;
}

/** A unit as it was run. */
export interface UnitRun {
  readonly plan: UnitPlan;
  readonly unit: Unit;
}

const ACQUIRE_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** How long `close` may take beyond its timeout: for revoked leases, and for a goodbye without an answer. */
const CLOSED_WITHIN_MS = 4_500;

export class Run {
  readonly plan: RunPlan;
  readonly timeline: Timeline;
  readonly server: ModelServer;
  readonly pool: Pool;
  readonly links: ModelLink[] = [];
  readonly units: UnitRun[] = [];
  /** Events that have struck. */
  readonly struck: StrikeEvent[] = [];
  isClosed = false;
  /** Promises that are not settled. */
  pending = 0;
  readonly #cheat: Cheat;
  readonly #process = OwnerScope.lasting();
  readonly #db: Database;
  readonly #random: Random;
  #probes = 0;

  constructor(plan: RunPlan) {
    this.plan = plan;
    this.#random = seededRandom(plan.seed);
    this.#cheat = cheatOf(plan.cheat);
    const timeline = this.timeline = new Timeline({
      strikes: plan.strikes,
      onStrike: ({ event }, place) => this.#strike(event, place),
      trace: plan.trace,
    });
    this.server = new ModelServer(timeline);
    const { clock } = timeline;
    const random = this.#random;
    this.pool = new WatchedPool(this, {
      connect: this.#driver(),
      size: plan.world.size,
      maxOverflow: 0,
      acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      recycleMs: Infinity,
      idleTimeoutMs: 600_000,
      maxWaiters: 100,
      shedTargetMs: 0,
      clock,
      random,
    });
    this.#db = new Database({
      pool: this.pool,
      defaults: SESSION_DEFAULTS,
      attempts: 4,
      clock,
      random,
      ...this.#cheat.resolution,
    });
  }

  /** Opens the connections that the program finds idle. */
  async prepare(): Promise<void> {
    const { idleMs } = this.plan.world;
    if (idleMs === undefined) return;
    await this.probe();
    await this.timeline.pass(idleMs);
  }

  /** Starts the program. */
  start(): void {
    this.plan.program.callers.forEach((steps, index) => {
      this.watch(this.#call(`caller ${index + 1}`, steps));
    });
  }

  async #call(caller: string, steps: Program["callers"][number]): Promise<void> {
    for (const [index, step] of steps.entries()) {
      if (typeof step === "number") {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.timeline.after(step, resolve);
        this.timeline.point(`${caller} pauses`);
        await promise;
        continue;
      }
      const unit = this.newUnit(step.key ?? `${caller}, unit ${index + 1}`, {
        caller: `${caller}, unit ${index + 1}`,
        plan: step,
      });
      await this.runUnit({ plan: step, unit });
    }
  }

  newUnit(name: string, { caller, plan }: { caller: string; plan: UnitPlan }): Unit {
    const unit = new Unit({ name, caller }, this.timeline);
    this.units.push({ plan, unit });
    return unit;
  }

  /** Runs the unit as an application would, and records what it is told. Never rejects. */
  async runUnit({ plan, unit }: UnitRun): Promise<void> {
    const { byRequest } = this.plan.world;
    const scope = byRequest ? OwnerScope.request() : this.#process;
    const rest: Promise<void>[] = [];
    const db = this.#db.forOwner({ scope, waitUntil: (promise) => rest.push(this.watch(promise)) });
    try {
      unit.tell({ value: await this.#work({ plan, unit }, db) });
    } catch (error) {
      unit.tell({ error });
    }
    if (!byRequest) return;
    await Promise.all(rest);
    this.timeline.point("the scope is about to end", { unit });
    await this.watch(db.endScope(scope));
    this.timeline.point("the scope has ended", { unit });
  }

  async #work({ plan, unit }: UnitRun, db: Database): Promise<string> {
    const { key, once, work } = plan;
    const options = {
      ...plan.options,
      label: unit.caller,
      ...(this.#cheat.hidesSignal ? {} : { signal: unit.signal }),
    };
    const value = `the value of ${unit.name}`;
    if (once) {
      await using session = db.session(options);
      await work(session, unit);
      return value;
    }
    const attempt = async (session: Parameters<UnitPlan["work"]>[0]) => {
      unit.begin();
      await work(session, unit);
      return value;
    };
    if (key === undefined) return await db.transaction(attempt, options);
    return await db.transaction(attempt, {
      ...options,
      key,
      loadResult: async (session) => {
        const names = await unit.names(session);
        return names.toSorted().join() === plan.keeps.join() ? value : `rows ${names}`;
      },
    });
  }

  /** Uses all permits at once: each must still serve a unit. */
  async probe(): Promise<void> {
    const { size } = this.plan.world;
    // One alone first: after an outage the pool lets a single caller connect.
    await this.#probeWith(1);
    await this.#probeWith(size);
  }

  async #probeWith(count: number): Promise<void> {
    const { promise: all, resolve } = Promise.withResolvers<void>();
    let begun = 0;
    const plan: UnitPlan = {
      keeps: ["a"],
      async work(session, unit) {
        await unit.query(session, unit.select());
        if (++begun === count) resolve();
        await all;
        await unit.commit(session, [unit.insert("a")]);
      },
    };
    const runs = Array.from({ length: count }, () => {
      const name = `probe ${++this.#probes}`;
      return { plan, unit: this.newUnit(name, { caller: name, plan }) };
    });
    for (const run of runs) this.watch(this.runUnit(run));
    const isOver = () => runs.every(({ unit }) => unit.told !== undefined);
    await this.timeline.runUntil(isOver, { withinMs: 2 * ACQUIRE_TIMEOUT_MS });
    for (const { unit } of runs) {
      if (!("value" in (unit.told ?? {}))) {
        this.timeline.violate(`a later unit was told ${textOf(unit)}`);
      }
    }
  }

  closePool({ timeoutMs }: { timeoutMs: number }): void {
    const { clock } = this.timeline;
    this.isClosed = true;
    const latestMs = clock.now() + timeoutMs + CLOSED_WITHIN_MS;
    this.watch(
      this.pool.close({ timeoutMs }).then(() => {
        if (clock.now() > latestMs) this.timeline.violate("the pool took too long to close");
      }),
    );
  }

  /** Counts the promise as pending until it is settled. */
  watch(promise: Promise<void>): Promise<void> {
    this.pending++;
    return promise.catch((error) => {
      this.timeline.violate(`a promise of the layer rejected: ${error}`);
    }).finally(() => this.pending--);
  }

  linkOf(connection: Lease["connection"]): ModelLink | undefined {
    return this.links.find((link) => link.connection === connection);
  }

  get resolved(): number {
    return this.#db.stats().resolved;
  }

  unitOf(caller: string | undefined): Unit | undefined {
    return this.units.find(({ unit }) => unit.caller === caller)?.unit;
  }

  onLease(lease: Lease): void {
    this.#cheat.onLease?.(lease);
  }

  #driver(): PoolOptions["connect"] {
    const { timeline, server } = this;
    const driver = new ScriptedDriver({
      pipelined: this.plan.world.pipelined,
      onConnect: (connection) => {
        const link = new ModelLink(connection, this.links.length + 1, {
          server,
          timeline,
          timeouts: SESSION_DEFAULTS,
          connectTimeoutMs: CONNECT_TIMEOUT_MS,
          pipelined: this.plan.world.pipelined,
          random: this.#random,
        });
        this.links.push(link);
        connection.onCancel = () => link.cancel();
        connection.isDirect = this.plan.world.isDirect;
        this.#cheat.onConnect?.(connection);
        return link.open();
      },
      serve: (parts, connection) => this.#send(parts, connection),
    });
    return (options) => {
      timeline.point("a connection is asked for");
      return driver.connect(options);
    };
  }

  #send(parts: readonly FlightPart[], connection: ScriptedConnection): void {
    const link = this.linkOf(connection)!;
    const { sender: holding } = link;
    const labels = parts.map(labelOf);
    const text = labels.join("; ");
    if (holding === undefined || holding.isOver) {
      // The pool's own, after a lease.
      if (text !== "ROLLBACK") {
        this.timeline.violate(`sent on a connection that is not leased: ${text}`);
      }
    } else if (holding.unit.signal.aborted) {
      this.timeline.violate(`sent after the abort of ${holding.unit.caller}: ${text}`);
    }
    if (holding !== undefined && labels.at(-1) === "commit") holding.unit.commitLink = link;
    link.send(parts);
  }

  #strike(event: StrikeEvent, place: Place): void {
    this.struck.push(event);
    strike(event, {
      server: this.server,
      links: this.links,
      units: this.units.map(({ unit }) => unit),
      random: this.#random,
      closePool: (options) => this.closePool(options),
    }, place);
  }
}
