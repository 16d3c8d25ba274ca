/** A fault that is armed at a point. */
import { Refusal } from "../../src/library/testing/relay/relay.ts";
import { completesWithin } from "../../src/db/time/timeout.ts";
import type { Fault } from "./fault_actions.ts";
import { Ended, type FaultConnection } from "./fault_connection.ts";
import { isAt, type Point, type SeenMessage } from "./fault_points.ts";

/** A message, or a moment without one, at which a fault may strike. */
export interface Moment {
  readonly connection: FaultConnection;
  readonly moment: NonNullable<Point["at"]>;
  readonly message?: SeenMessage;
}

interface ArmedFaultOptions {
  readonly onClear: () => void;
  /** Called if the fault itself throws. */
  readonly onFailure: (error: unknown) => void;
}

export class ArmedFault {
  /** How often it has struck. */
  strikes = 0;
  readonly #point: Point;
  readonly #fault: Fault;
  readonly #options: ArmedFaultOptions;
  readonly #struck = Promise.withResolvers<FaultConnection>();
  readonly #released = Promise.withResolvers<void>();
  #seen = 0;

  constructor(point: Point, fault: Fault, options: ArmedFaultOptions) {
    this.#point = point;
    this.#fault = fault;
    this.#options = options;
  }

  /** Resolves with the connection once the fault has begun its first strike. Rejects if that takes too long. */
  async struck({ timeoutMs = 10_000 } = {}): Promise<FaultConnection> {
    await completesWithin(this.#struck.promise, timeoutMs);
    if (this.strikes > 0) return await this.#struck.promise;
    const { at = "message", ...rest } = this.#point;
    throw new Error(
      `Cannot wait for the fault as it has not struck within ${timeoutMs} ms: ${this.#seen} ` +
        `were seen at its point, ${at} ${Deno.inspect(rest, { compact: true })}`,
    );
  }

  /** Passes on what `hold` holds, and what it would hold later. */
  release(): void {
    this.#released.resolve();
  }

  /** Disarms the fault. It goes on holding what it holds. */
  clear(): void {
    this.#options.onClear();
  }

  /** Call this for every message and moment, since it counts them. */
  isDue(moment: Moment): boolean {
    const { nth = 1, times = 1 } = this.#point;
    if (!isAt(this.#point, moment)) return false;
    this.#seen++;
    return this.#seen >= nth && this.#seen < nth + times;
  }

  async *strike(connection: FaultConnection, message?: SeenMessage): AsyncIterable<Uint8Array> {
    const bytes = message?.bytes ?? new Uint8Array(0);
    const passing = this.#fault({ connection, message, bytes, released: this.#released.promise });
    const iterator = passing[Symbol.asyncIterator]();
    this.strikes++;
    // The fault runs up to its first wait before `struck` resolves, so that it is in effect by then.
    let step = iterator.next();
    this.#struck.resolve(connection);
    try {
      for (let next; !(next = await step).done; step = iterator.next()) yield next.value;
    } catch (error) {
      if (!(error instanceof Ended || error instanceof Refusal)) {
        this.#options.onFailure(error);
        connection.cut();
      }
      throw error;
    }
  }
}
