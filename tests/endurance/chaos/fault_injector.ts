/** Makes random faults: at messages, on connections, to backends, to clients and to the server. */
import { sleep } from "../../../src/db/time/timeout.ts";
import {
  type ArmedFault,
  COMMIT_EXECUTE,
  COMMITTED,
  delay,
  dropBefore,
  type Fault,
  type FaultRelay,
} from "../../support/fault_relay.ts";
import { pick, type Random } from "../random.ts";
import { sumOf } from "../report.ts";
import type { StoppableServer } from "../stoppable_server.ts";
import { FAULT_KINDS, type FaultKind } from "./fault_kinds.ts";

export interface FaultInjectorOptions {
  readonly relay: FaultRelay;
  readonly server: StoppableServer;
  readonly random: Random;
  /** Mean time from one fault to the next. */
  readonly faultEveryMs: number;
  /** Mean time from one stop of the server to the next. */
  readonly stopEveryMs: number;
  /** Makes every client that waits go away. */
  readonly abandon: () => void;
}

/** On the clock of `performance.now()`. */
export interface Period {
  readonly fromMs: number;
  readonly toMs: number;
}

/** How many of the periods overlap a stop of the server, and how many do not. */
export function splitByStops(
  periods: readonly Period[],
  stops: readonly Period[],
): { readonly calm: number; readonly inStops: number } {
  const inStops =
    periods.filter(({ fromMs, toMs }) =>
      stops.some((stop) => stop.fromMs <= toMs && fromMs <= stop.toMs)
    ).length;
  return { calm: periods.length - inStops, inStops };
}

/** How long a fault waits for its message. */
const ARMED_MS = 2_000;
/** Shares of all faults: connections cut as a whole, backends terminated, and clients that go away. */
const CUTS = 0.08;
const KILLS = 0.15;
const ABANDONS = 0.02;
/** How long the relay delays a COMMIT whose client goes away. */
const ABANDONED_MS = 20;

const STOPS = ["fast", "immediate", "immediate, as a COMMIT was done"] as const;

export class FaultInjector {
  /** How often each kind of fault struck. */
  readonly faults = new Map<string, number>();
  /** From each stop of the server to its return. */
  readonly stops: Period[] = [];
  /** COMMITs that certainly lost their answer while the server was running. */
  lostCommits = 0;
  readonly #options: FaultInjectorOptions;
  readonly #end = new AbortController();
  readonly #armed = new Map<ArmedFault, number>();
  readonly #done: Promise<unknown>;
  #isStopped = false;

  constructor(options: FaultInjectorOptions) {
    this.#options = options;
    this.#done = Promise.all([this.#strike(), this.#stopAndStart()]);
    // `stop` rejects with the same error.
    this.#done.catch(() => {});
  }

  /** How many faults have struck. */
  get struck(): number {
    return sumOf(this.faults.values());
  }

  /**
   * Makes no further faults. Resolves when the server is running; messages that are held and connections that are
   * frozen come free by themselves later. Rejects if the injector itself has failed.
   */
  async stop(): Promise<void> {
    this.#end.abort();
    await this.#done;
    this.#options.relay.clear();
  }

  async #strike(): Promise<void> {
    const { faultEveryMs, random } = this.#options;
    while (await sleep(faultEveryMs * (0.5 + random()), this.#end)) {
      this.#disarmOld();
      const draw = random();
      if (draw < CUTS) this.#cut();
      else if (draw < CUTS + KILLS) await this.#kill();
      else if (draw < CUTS + KILLS + ABANDONS) this.#abandon();
      else this.#arm(kindAt(random()));
    }
  }

  #arm(kind: FaultKind): void {
    const { relay, random } = this.#options;
    const fault = this.#counted(kind, kind.fault(random));
    this.#armed.set(relay.when(kind.at, fault), performance.now());
  }

  #counted(kind: { name: string; losesCommit?: boolean }, fault: Fault): Fault {
    return (strike) => {
      this.#count(kind.name);
      if (kind.losesCommit && !this.#isStopped) this.lostCommits++;
      return fault(strike);
    };
  }

  #disarmOld(): void {
    for (const [armed, atMs] of this.#armed) {
      if (armed.strikes === 0 && performance.now() - atMs < ARMED_MS) continue;
      armed.clear();
      this.#armed.delete(armed);
    }
  }

  #cut(): void {
    const { relay, random } = this.#options;
    const victim = pick(relay.openConnections, random);
    if (victim === undefined) return;
    victim.cut({ reset: random() < 0.5 });
    this.#count("connection cut");
  }

  async #kill(): Promise<void> {
    const { server, random } = this.#options;
    const at = random();
    try {
      const [row] = await server.query(`select pg_terminate_backend(pid) as done from (
          select pid, percent_rank() over (order by pid) as rank from pg_stat_activity
          where usename = 'user_service'
        ) as ranked order by abs(rank - ${at}) limit 1`);
      if (row?.["done"] === true) this.#count("backend terminated");
    } catch (error) {
      // The server may be stopped, or stop during the query.
      if (!["ConnectError", "ConnectionLostError"].includes((error as Error).name)) throw error;
    }
  }

  async #stopAndStart(): Promise<void> {
    const { server, stopEveryMs, random } = this.#options;
    let turn = Math.floor(random() * STOPS.length);
    while (await sleep(stopEveryMs * (0.7 + 0.6 * random()), this.#end)) {
      const how = STOPS[turn++ % STOPS.length]!;
      if (how === "immediate, as a COMMIT was done") await this.#commitDone();
      const fromMs = performance.now();
      this.#isStopped = true;
      await server.stop(how === "fast" ? "fast" : "immediate");
      this.#count(`server stopped: ${how}`);
      await sleep(1_000 * random(), this.#end);
      await server.start();
      this.#isStopped = false;
      this.stops.push({ fromMs, toMs: performance.now() });
    }
  }

  /** Resolves when a COMMIT's answer has just been dropped, or no COMMIT was answered for long. */
  async #commitDone(): Promise<void> {
    const armed = this.#options.relay.when(COMMITTED, dropBefore());
    await armed.struck({ timeoutMs: ARMED_MS }).catch(() => {});
    armed.clear();
  }

  /** The relay cannot tell which client a COMMIT belongs to. So all clients go away, and its own among them. */
  #abandon(): void {
    const { relay, abandon } = this.#options;
    const held = this.#counted({ name: "clients gone at a COMMIT" }, (strike) => {
      abandon();
      return delay(ABANDONED_MS)(strike);
    });
    this.#armed.set(relay.when(COMMIT_EXECUTE, held), performance.now());
  }

  #count(name: string): void {
    this.faults.set(name, (this.faults.get(name) ?? 0) + 1);
  }
}

const ALL_SHARES = sumOf(FAULT_KINDS.map(({ share }) => share));

function kindAt(draw: number): FaultKind {
  let left = draw * ALL_SHARES;
  return FAULT_KINDS.find(({ share }) => (left -= share) < 0) ?? FAULT_KINDS[0]!;
}
