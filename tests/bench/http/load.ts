/** The load generator, as a process of its own, so that neither its CPU nor its pauses are the service's. */
import { join } from "node:path";
import type { Operation } from "./operations.ts";
import { Child } from "./child.ts";

/** For V8, so that it collects no garbage in most runs: its threads would take the server's processor. */
const ROOM = "--v8-flags=--min-semi-space-size=64,--initial-heap-size=1024,--expose-gc";

export interface Load {
  readonly port: number;
  readonly operation: Operation;
  readonly knownIds: readonly string[];
  readonly durationMs: number;
  /**
   * `connections`: each sends its next request once the last is answered. `requestsPerSecond`: requests are sent at their
   * times, whether or not earlier ones are answered, and latencies count from these times, so that a slow service cannot
   * slow down its own measurement.
   */
  readonly by: { readonly connections: number } | { readonly requestsPerSecond: number };
  /** How many addresses the requests come from. Default: one. */
  readonly addresses?: number;
  /** Of the same load before it, which does not count: connections are opened in it. Default: 0. */
  readonly rampMs?: number;
}

export interface Latencies {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** A thousand, from the shortest to the longest: each is the middle one of a thousandth of all. */
  readonly times: readonly number[];
}

export interface LoadFigures {
  readonly seconds: number;
  /** Accepted answers a second, without those that came after the last request was sent. */
  readonly goodput: number;
  /** Answers with status 2xx. */
  readonly accepted: Latencies;
  /** Answers with status 503. */
  readonly refused: Latencies;
  /** All other answers, and requests that were never answered. */
  readonly failed: number;
  readonly firstFailure?: string;
}

export class LoadGenerator implements AsyncDisposable {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(): Promise<LoadGenerator> {
    const program = join(import.meta.dirname!, "load_main.ts");
    const args = ["run", "-A", "--no-config", "--no-lock", ROOM, program];
    const child = Child.spawn({ args });
    await child.line();
    return new LoadGenerator(child);
  }

  get pid(): number {
    return this.#child.pid;
  }

  async run(load: Load): Promise<LoadFigures> {
    await this.#child.write(JSON.stringify(load));
    return JSON.parse(await this.#child.line());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#child[Symbol.asyncDispose]();
  }
}
