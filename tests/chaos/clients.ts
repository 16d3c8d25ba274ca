/** Clients of the chaos app, each with one unit after the other, and each told something in the end. */
import type { Answer } from "./app.ts";
import type { Entry, Told } from "./book.ts";
import { type Unit, unitOf } from "./units.ts";

export interface ClientsOptions {
  readonly url: URL;
  readonly seed: number;
  readonly concurrency: number;
  /** Asked before each unit: whether there is to be none any more. */
  readonly isOver: () => boolean;
}

/** Far above what any unit may take: one that is not over by then hangs. */
const HUNG_MS = 30_000;
/** How often an effect of unknown outcome is asked for again. */
const AGAIN = 4;
/** How long a client stays away after a failure. */
const PAUSE_MS = 200;

export class Clients {
  readonly entries: Entry[] = [];
  /** How many units were done. */
  done = 0;
  /** How many units were run so many times; 0 for those that never began. */
  readonly runs = new Map<number, number>();
  /** Answers that were not `done`, by unit, outcome and error. */
  readonly errors = new Map<string, { count: number; readonly message: string }>();
  /** Effects that were asked for again as their outcome was unknown. */
  askedAgain = 0;
  readonly #options: ClientsOptions;
  #begun = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** Resolves when every client has been told of its last unit. */
  async run(): Promise<void> {
    const { concurrency, isOver } = this.#options;
    await Promise.all(Array.from({ length: concurrency }, async () => {
      while (!isOver()) {
        const told = await this.#unit(unitOf(this.#options.seed, this.#begun++));
        if (told !== "done") await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }));
  }

  async #unit(unit: Unit): Promise<Told> {
    const fromMs = performance.now();
    let told = await this.#ask(unit);
    for (let again = 0; unit.kind === "effect" && isOpen(told) && again < AGAIN; again++) {
      this.askedAgain++;
      const next = await this.#ask(unit);
      // A failure of its own says nothing of the one before.
      if (next !== "failed") told = next;
    }
    this.entries.push({ id: unit.id, told, fromMs, toMs: performance.now() });
    if (told === "done") this.done++;
    return told;
  }

  async #ask(unit: Unit): Promise<Told> {
    const controller = new AbortController();
    const { signal } = controller;
    const timer = setTimeout(() => controller.abort(), HUNG_MS);
    try {
      const response = await fetch(new URL(unit.kind, this.#options.url), {
        method: "POST",
        body: JSON.stringify(unit),
        signal,
      });
      const { outcome, runs, error, message }: Answer = JSON.parse(await response.text());
      count(this.runs, runs);
      if (outcome !== "done") this.#failed(`${unit.kind} ${outcome}: ${error}`, message ?? "");
      return outcome;
    } catch (error) {
      const told = signal.aborted ? "hung" : "silence";
      this.#failed(`${unit.kind} ${told}: ${(error as Error).name}`, (error as Error).message);
      return told;
    } finally {
      clearTimeout(timer);
    }
  }

  #failed(what: string, message: string): void {
    const known = this.errors.get(what);
    if (known !== undefined) known.count++;
    else this.errors.set(what, { count: 1, message });
  }
}

function isOpen(told: Told): boolean {
  return told === "unknown" || told === "silence";
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
