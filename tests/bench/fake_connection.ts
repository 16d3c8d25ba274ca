import { EventEmitter } from "node:events";
import type { Connection, FlightAnswer } from "../../src/db/driver/driver.ts";

/**
 * A connection that opens and closes at once, and costs nothing, so that only the pools differ. It is an emitter with
 * `connect` and `end` too, since pg-pool requires one.
 */
export class FakeConnection extends EventEmitter implements Connection {
  readonly state = "idle";
  readonly status = "I";
  readonly processId = undefined;
  readonly ready: Promise<void> = Promise.resolve();
  readonly closed: Promise<undefined>;
  /** pg-pool destroys a returned client that lacks it. */
  readonly _queryable = true;
  /** pg-pool calls it to give a client back. */
  release: () => void = () => {};
  readonly #close: () => void;

  constructor() {
    super();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.closed = promise;
    this.#close = () => resolve(undefined);
  }

  flight(): Promise<FlightAnswer> {
    throw new Error("bug: a benchmark of the pool sent a flight");
  }

  cancel(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#close();
    return Promise.resolve();
  }

  /** Opens it as a `pg.Client`. */
  connect(done: (error?: Error) => void): void {
    queueMicrotask(done);
  }

  /** Closes it as a `pg.Client`. */
  end(done?: () => void): void {
    this.#close();
    if (done !== undefined) queueMicrotask(done);
  }
}
