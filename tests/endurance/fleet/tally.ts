/** What the clients of one process were answered. */
import { type Latencies, latenciesOf } from "../report.ts";

export interface Answered {
  readonly kind: string;
  /** 0 if there was no answer. */
  readonly status: number;
  /** The answer, or why there is none. */
  readonly text: string;
  /** The kind of its problem document. */
  readonly problem: string | undefined;
  readonly retryAfter: string | undefined;
  readonly tookMs: number;
}

/** Phases of a run: the fleet alone, and under kills. */
export type Phase = "warm-up" | "calm" | "kills" | "end";

/** 503 answers that a fleet may give: in the calm phase `overloaded` alone. */
const REFUSALS = { calm: ["overloaded"], kills: ["overloaded", "database-unreachable"] };

/** What the kill of a backend, or of the pooler, may leave open to a client without a key. */
const LOST = ["outcome-unknown", "rows-lost"];

export class Tally {
  phase: Phase = "warm-up";
  /** Requests with a key that were sent again. */
  repeated = 0;
  /** Requests with a key that got no answer to the key. */
  unsettled = 0;
  /** Requests in the calm phase that were served. */
  #served: number[] = [];
  #servedUnderKills = 0;
  readonly #refused = { calm: 0, kills: 0 };
  #lost = 0;
  readonly #errors = new Map<string, { count: number; readonly text: string }>();

  add(answered: Answered): void {
    const { status, tookMs } = answered;
    const { phase } = this;
    const isCalm = phase === "warm-up" || phase === "calm";
    if (status >= 200 && status < 300) {
      if (phase === "calm") this.#served.push(tookMs);
      if (phase === "kills") this.#servedUnderKills++;
    } else if (this.#isRefusal(answered, isCalm ? "calm" : "kills")) {
      this.#refused[isCalm ? "calm" : "kills"]++;
    } else if (!isCalm && LOST.includes(answered.problem ?? "")) this.#lost++;
    else this.#addError(answered);
  }

  #isRefusal({ status, problem, retryAfter }: Answered, phase: keyof typeof REFUSALS): boolean {
    return status === 503 && retryAfter !== undefined && REFUSALS[phase].includes(problem ?? "");
  }

  #addError({ kind, status, problem, text }: Answered): void {
    const name = `${this.phase}: ${kind} ${status} ${problem ?? ""}`.trimEnd();
    const known = this.#errors.get(name);
    if (known !== undefined) known.count++;
    else this.#errors.set(name, { count: 1, text: text.slice(-300).replaceAll(/\s+/g, " ") });
  }

  get served(): Latencies {
    return latenciesOf(this.#served);
  }

  get servedUnderKills(): number {
    return this.#servedUnderKills;
  }

  get refused(): Readonly<Record<"calm" | "kills", number>> {
    return this.#refused;
  }

  /** Writes without a key of unknown outcome, and those whose rows were lost. */
  get lost(): number {
    return this.#lost;
  }

  get errors(): ReadonlyMap<string, { readonly count: number; readonly text: string }> {
    return this.#errors;
  }
}
