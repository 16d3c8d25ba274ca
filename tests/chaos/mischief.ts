/** Does, by a seed, all that may go wrong: on the way, to backends, and to the server. */
import { sleep } from "../../src/db/time/timeout.ts";
import type { ArmedFault, Fault, FaultRelay } from "../support/fault_relay.ts";
import { COMMIT_EXECUTE, COMMITTED, delay, dropBefore } from "../support/fault_relay.ts";
import type { CrashingServer } from "./crashing_server.ts";
import { FAULT_KINDS, type FaultKind } from "./fault_kinds.ts";

export interface MischiefOptions {
  readonly relay: FaultRelay;
  readonly server: CrashingServer;
  readonly random: () => number;
  /** A fault begins each time that this has passed, and the server is stopped each time that this has. */
  readonly faultEveryMs: number;
  readonly stopEveryMs: number;
  /** Has every client that waits go away. */
  readonly abandon: () => void;
}

/** On the clock of `performance.now()`. */
export interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

/** How long a fault waits for its moment. */
const PATIENCE_MS = 2_000;
/** Of the faults: cuts of a connection from outside, terminated backends, and clients that are gone. */
const CUTS = 0.08;
const KILLS = 0.15;
const ABANDONS = 0.02;
/** How long a COMMIT is on its way when its client goes. */
const ABANDONED_MS = 20;

const STOPS = ["fast", "immediate", "immediate, as a COMMIT was done"] as const;

export class Mischief {
  /** By kind, those that struck. */
  readonly faults = new Map<string, number>();
  /** How many that is. */
  struck = 0;
  /** When the server was stopped, until it was back. */
  readonly stops: Window[] = [];
  /** COMMITs whose answer was surely lost while the server was there. */
  lostCommits = 0;
  readonly #options: MischiefOptions;
  readonly #end = new AbortController();
  readonly #armed = new Map<ArmedFault, number>();
  readonly #done: Promise<unknown>;
  #isStopped = false;

  constructor(options: MischiefOptions) {
    this.#options = options;
    this.#done = Promise.all([this.#strike(), this.#stopAndStart()]);
    // Told by `stop`.
    this.#done.catch(() => {});
  }

  /** Ends it; resolves when the server is there. What is held or frozen comes free by itself. Rejects if it has failed. */
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

  #counted(kind: Pick<FaultKind, "name" | "losesCommit">, fault: Fault): Fault {
    return (strike) => {
      this.#count(kind.name);
      if (kind.losesCommit && !this.#isStopped) this.lostCommits++;
      return fault(strike);
    };
  }

  #disarmOld(): void {
    for (const [armed, atMs] of this.#armed) {
      if (armed.strikes === 0 && performance.now() - atMs < PATIENCE_MS) continue;
      armed.clear();
      this.#armed.delete(armed);
    }
  }

  #cut(): void {
    const { relay, random } = this.#options;
    const open = relay.openConnections;
    const victim = open[Math.floor(random() * open.length)];
    if (victim === undefined) return;
    victim.cut({ reset: random() < 0.5 });
    this.#count("connection cut");
  }

  async #kill(): Promise<void> {
    const { server, random } = this.#options;
    const at = random();
    try {
      const [row] = await server.ask(`select pg_terminate_backend(pid) as done from (
          select pid, percent_rank() over (order by pid) as rank from pg_stat_activity
          where usename = 'user_service'
        ) as ranked order by abs(rank - ${at}) limit 1`);
      if (row?.["done"] === true) this.#count("backend terminated");
    } catch (error) {
      // The server may be away, or go at this moment.
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

  /** Resolves when a COMMIT's answer has been dropped just now, or nobody has sent one for long. */
  async #commitDone(): Promise<void> {
    const armed = this.#options.relay.when(COMMITTED, dropBefore());
    await armed.struck({ timeoutMs: PATIENCE_MS }).catch(() => {});
    armed.clear();
  }

  /** Nobody can say whose COMMIT it is: all clients go, and with them the one that has sent it. */
  #abandon(): void {
    const { relay, abandon } = this.#options;
    const held = this.#counted({ name: "clients gone at a COMMIT" }, (strike) => {
      abandon();
      return delay(ABANDONED_MS)(strike);
    });
    this.#armed.set(relay.when(COMMIT_EXECUTE, held), performance.now());
  }

  #count(name: string): void {
    this.struck++;
    this.faults.set(name, (this.faults.get(name) ?? 0) + 1);
  }
}

const ALL = FAULT_KINDS.reduce((all, { share }) => all + share, 0);

function kindAt(draw: number): FaultKind {
  let left = draw * ALL;
  return FAULT_KINDS.find(({ share }) => (left -= share) < 0) ?? FAULT_KINDS[0]!;
}
