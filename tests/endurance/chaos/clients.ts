/** The clients of the chaos app. Each sends one request after the other, and records an outcome for each unit. */
import { type Outcome, OutcomeLog } from "../outcome_log.ts";
import { ErrorTally } from "../report.ts";
import type { Answer } from "./app.ts";
import type { Period } from "./fault_injector.ts";
import type { Load } from "./hosts.ts";
import { type Unit, unitOf } from "./units.ts";

export interface ClientsOptions {
  readonly url: URL;
  readonly seed: number;
  readonly load: Load;
  /** Asked before each request: no further one is sent once it is true. */
  readonly isOver: () => boolean;
}

const ABANDONED: Outcome = "abandoned";
const HUNG: Outcome = "hung";
/** The longest wait for a request, for each of its units; far longer than any unit may take. */
const HUNG_MS = 30_000;
/** How often an effect of unknown outcome is requested again. */
const REPEATS = 4;
/** How long a client pauses after a failure. */
const PAUSE_MS = 200;

export class Clients {
  readonly log = new OutcomeLog();
  /** Answers of unknown outcome. Effects may have several, since they are requested again. */
  readonly unknown: Period[] = [];
  /** Units that were done. */
  done = 0;
  /** How many answers there were for each number of runs; 0 is the number of a unit that did not begin. */
  readonly runs = new Map<number, number>();
  /** Answers that were not `done`, by unit, outcome and error. */
  readonly errors = new ErrorTally();
  /** Requests for effects whose outcome had been unknown. */
  repeated = 0;
  readonly #options: ClientsOptions;
  readonly #waiting = new Set<AbortController>();

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** Resolves when every client has an outcome for its last unit. */
  async run(): Promise<void> {
    const { load, isOver } = this.#options;
    await Promise.all(Array.from({ length: load.clients }, async () => {
      while (!isOver()) {
        const outcomes = await this.#request(this.#next());
        if (outcomes.some((outcome) => outcome !== "done")) await pause();
      }
    }));
  }

  /** Makes every client that waits for an answer go away. */
  abandon(): void {
    for (const request of this.#waiting) request.abort(ABANDONED);
  }

  #next(): Unit[] {
    const { seed, load } = this.#options;
    return Array.from({ length: load.unitsPerRequest }, () => unitOf(seed, this.log.begin()));
  }

  async #request(units: readonly Unit[]): Promise<Outcome[]> {
    const outcomes = await this.#send(units);
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      const open = units.filter((unit, at) => unit.kind === "effect" && isOpen(outcomes[at]!));
      if (open.length === 0) break;
      this.repeated += open.length;
      const next = await this.#send(open);
      open.forEach((unit, at) => {
        // A failure of this request says nothing about the one before.
        if (next[at] !== "failed") outcomes[units.indexOf(unit)] = next[at]!;
      });
    }
    units.forEach(({ id }, at) => this.log.record(id, outcomes[at]!));
    this.done += outcomes.filter((outcome) => outcome === "done").length;
    return outcomes;
  }

  async #send(units: readonly Unit[]): Promise<Outcome[]> {
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
      return answers.map((answer, at) => this.#read(answer, { unit: units[at]!, fromMs }));
    } catch (error) {
      const outcome = request.signal.aborted ? request.signal.reason as Outcome : "unanswered";
      if (outcome !== ABANDONED) this.errors.add(`request ${outcome}`, String(error));
      return units.map(() => outcome);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(request);
    }
  }

  #read(answer: Answer, { unit, fromMs }: { unit: Unit; fromMs: number }): Outcome {
    const { outcome, runs, error, message = "" } = answer;
    this.runs.set(runs, (this.runs.get(runs) ?? 0) + 1);
    if (outcome !== "done") this.errors.add(`${unit.kind} ${outcome}: ${error}`, message);
    if (outcome === "unknown") this.unknown.push({ fromMs, toMs: performance.now() });
    return outcome;
  }
}

function isOpen(outcome: Outcome): boolean {
  return outcome === "unknown" || outcome === "abandoned" || outcome === "unanswered";
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
