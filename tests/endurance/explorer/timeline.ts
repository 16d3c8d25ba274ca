/** The time of one run: a clock that the run moves, and the points at which something can strike. */
import { setImmediate } from "node:timers";
import { ManualClock } from "../../support/manual_clock.ts";
import type { ModelLink } from "./model_link.ts";
import type { StrikeEvent } from "./strikes.ts";
import type { Unit } from "./unit.ts";

/** What a point concerns. */
export interface Place {
  readonly link?: ModelLink | undefined;
  readonly unit?: Unit | undefined;
}

/** An event at one of the run's points. */
export interface Strike {
  /** Counted from 1. */
  readonly point: number;
  readonly event: StrikeEvent;
  /** How many turns of the microtask queue after the point. */
  readonly turns: number;
}

export interface TimelineOptions {
  readonly strikes: readonly Strike[];
  readonly onStrike: (strike: Strike, place: Place) => void;
  /** Gets a line for each point, strike, answer and violation. */
  readonly trace?: ((line: string) => void) | undefined;
}

export class Timeline {
  readonly clock = new ManualClock();
  /** What is wrong with the run. */
  readonly violations: string[] = [];
  /** Points passed so far. */
  points = 0;
  /** Whether events can strike: not while the connections are opened beforehand, or probed afterwards. */
  isCounting = false;
  readonly #options: TimelineOptions;
  readonly #strikes = new Map<number, Strike[]>();
  #modelAlarms = 0;

  constructor(options: TimelineOptions) {
    this.#options = options;
    for (const strike of options.strikes) {
      this.#strikes.set(strike.point, [...this.#strikes.get(strike.point) ?? [], strike]);
    }
  }

  /** Timers that the connection layer has set. */
  get layerAlarms(): number {
    return this.clock.pending - this.#modelAlarms;
  }

  /** A timer of the model's own. */
  after(timeMs: number, callback: () => void): () => void {
    this.#modelAlarms++;
    let isOver = false;
    const end = () => {
      if (!isOver) this.#modelAlarms--;
      isOver = true;
    };
    const cancel = this.clock.after(timeMs, () => {
      end();
      callback();
    });
    return () => {
      cancel();
      end();
    };
  }

  /** Something can strike here. */
  point(label: string, place: Place = {}): void {
    if (!this.isCounting) return;
    const number = ++this.points;
    this.note(`${number}. ${label}`);
    for (const strike of this.#strikes.get(number) ?? []) {
      if (strike.turns === 0) this.#strike(strike, place);
      else void this.#strikeLater(strike, place);
    }
  }

  note(line: string): void {
    this.#options.trace?.(`${this.clock.now().toFixed(1).padStart(8)} ms  ${line}`);
  }

  violate(text: string): void {
    this.note(`Violation: ${text}`);
    this.violations.push(text);
  }

  /** Moves the clock until `isOver`, or until nothing more is due within the time. Says whether it is over. */
  async runUntil(isOver: () => boolean, { withinMs }: { withinMs: number }): Promise<boolean> {
    const endMs = this.clock.now() + withinMs;
    await settled();
    while (!isOver()) {
      if (!this.clock.fireNext(endMs)) return false;
      await settled();
    }
    return true;
  }

  /** Lets the time pass, with all that is due in it. */
  async pass(timeMs: number): Promise<void> {
    const endMs = this.clock.now() + timeMs;
    await this.runUntil(() => false, { withinMs: timeMs });
    await this.clock.advance(endMs - this.clock.now());
  }

  async #strikeLater(strike: Strike, place: Place): Promise<void> {
    for (let turn = 0; turn < strike.turns; turn++) await undefined;
    this.#strike(strike, place);
  }

  #strike(strike: Strike, place: Place): void {
    this.note(`Strike: ${strike.event}`);
    this.#options.onStrike(strike, place);
  }
}

/** Lets every promise that is due settle: the next macrotask comes after all microtasks. */
export function settled(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
