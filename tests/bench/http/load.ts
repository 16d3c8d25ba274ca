/** The load generator, as a process of its own, so that neither its CPU nor its pauses are the service's. */
import { join } from "node:path";
import type { Operation } from "./operations.ts";
import { Child } from "./child.ts";

export interface Load {
  readonly port: number;
  readonly operation: Operation;
  readonly knownId: string;
  readonly durationMs: number;
  /**
   * `connections`: each sends its next request once the last is answered. `requestsPerSecond`: requests are sent at their
   * times, whether or not earlier ones are answered, and latencies count from these times, so that a slow service cannot
   * slow down its own measurement.
   */
  readonly by: { readonly connections: number } | { readonly requestsPerSecond: number };
  /** How many addresses the requests come from. Default: one. */
  readonly addresses?: number;
}

export interface Latencies {
  readonly count: number;
  readonly p50Ms: number;
  readonly p75Ms: number;
  readonly p99Ms: number;
  /** Those that took over a millisecond longer than half of them, and by how much on average. */
  readonly stalls: { readonly count: number; readonly meanMs: number };
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
  /** By `requestsPerSecond` only: how often the generator wakes up and sends what has come due. */
  readonly tickMs?: number;
}

export class LoadGenerator implements AsyncDisposable {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(): Promise<LoadGenerator> {
    const program = join(import.meta.dirname!, "load_main.ts");
    const child = Child.spawn({ args: ["run", "-A", "--no-config", "--no-lock", program] });
    await child.line();
    return new LoadGenerator(child);
  }

  async run(load: Load): Promise<LoadFigures> {
    await this.#child.write(JSON.stringify(load));
    return JSON.parse(await this.#child.line());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#child[Symbol.asyncDispose]();
  }
}
