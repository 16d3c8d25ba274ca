/** Clients of the chaos app, each with one unit after the other, and each told something in the end. */
import type { Answer } from "./app.ts";
import type { Entry, Told } from "./book.ts";
import type { Load } from "./hosts.ts";
import type { Window } from "./mischief.ts";
import { type Unit, unitOf } from "./units.ts";

export interface ClientsOptions {
  readonly url: URL;
  readonly seed: number;
  readonly load: Load;
  /** Asked before each unit: whether there is to be none any more. */
  readonly isOver: () => boolean;
}

const GONE: Told = "gone";
const HUNG: Told = "hung";
/** For each unit; far above what any may take: a request that is not over by then hangs. */
const HUNG_MS = 30_000;
/** How often an effect of unknown outcome is asked for again. */
const AGAIN = 4;
/** How long a client stays away after a failure. */
const PAUSE_MS = 200;

export class Clients {
  readonly entries: Entry[] = [];
  /** Requests that were answered so; those of effects too, which are asked for again. */
  readonly unknown: Window[] = [];
  /** How many units were done. */
  done = 0;
  /** How many units were run so many times; 0 for those that never began. */
  readonly runs = new Map<number, number>();
  /** Answers that were not `done`, by unit, outcome and error. */
  readonly errors = new Map<string, { count: number; readonly message: string }>();
  /** Effects that were asked for again as their outcome was unknown. */
  askedAgain = 0;
  readonly #options: ClientsOptions;
  readonly #waiting = new Set<AbortController>();
  #begun = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** Resolves when every client has been told of its last unit. */
  async run(): Promise<void> {
    const { load, isOver } = this.#options;
    await Promise.all(Array.from({ length: load.clients }, async () => {
      while (!isOver()) {
        const told = await this.#units(this.#next());
        if (told.some((each) => each !== "done")) await pause();
      }
    }));
  }

  /** Every client that waits for an answer goes away. */
  abandon(): void {
    for (const request of this.#waiting) request.abort(GONE);
  }

  #next(): Unit[] {
    const { seed, load } = this.#options;
    return Array.from({ length: load.unitsPerRequest }, () => unitOf(seed, this.#begun++));
  }

  async #units(units: readonly Unit[]): Promise<Told[]> {
    const told = await this.#ask(units);
    for (let again = 0; again < AGAIN; again++) {
      const open = units.filter((unit, at) => unit.kind === "effect" && isOpen(told[at]!));
      if (open.length === 0) break;
      this.askedAgain += open.length;
      const next = await this.#ask(open);
      open.forEach((unit, at) => {
        // A failure of its own says nothing of the one before.
        if (next[at] !== "failed") told[units.indexOf(unit)] = next[at]!;
      });
    }
    units.forEach(({ id }, at) => this.entries.push({ id, told: told[at]! }));
    this.done += told.filter((each) => each === "done").length;
    return told;
  }

  /** What each of them is told. */
  async #ask(units: readonly Unit[]): Promise<Told[]> {
    const fromMs = performance.now();
    const request = new AbortController();
    const timer = setTimeout(() => request.abort(HUNG), HUNG_MS * units.length);
    this.#waiting.add(request);
    try {
      const response = await fetch(new URL("/units", this.#options.url), {
        method: "POST",
        body: JSON.stringify(units),
        signal: request.signal,
      });
      const answers: Answer[] = JSON.parse(await response.text());
      return answers.map((answer, at) => this.#told(units[at]!, answer, fromMs));
    } catch (error) {
      const told = request.signal.aborted ? request.signal.reason as Told : "silence";
      if (told !== GONE) this.#failed(`request ${told}`, String(error));
      return units.map(() => told);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(request);
    }
  }

  #told({ kind }: Unit, { outcome, runs, error, message }: Answer, fromMs: number): Told {
    count(this.runs, runs);
    if (outcome !== "done") this.#failed(`${kind} ${outcome}: ${error}`, message ?? "");
    if (outcome === "unknown") this.unknown.push({ fromMs, toMs: performance.now() });
    return outcome;
  }

  #failed(what: string, message: string): void {
    const known = this.errors.get(what);
    if (known !== undefined) known.count++;
    else this.errors.set(what, { count: 1, message });
  }
}

function isOpen(told: Told): boolean {
  return told === "unknown" || told === "gone" || told === "silence";
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
