import type { Connection } from "../../db/mod.ts";

/** A connection to nothing. The simulation keeps the time of its flights. */
export class SimulatedConnection implements Connection {
  state: Connection["state"] = "idle";
  readonly status = "I";
  readonly processId = undefined;
  readonly ready: Promise<void> = Promise.resolve();
  readonly closed: Promise<undefined>;
  readonly #shut: () => void;

  constructor(onShut: () => void) {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.closed = promise;
    this.#shut = () => {
      onShut();
      resolve(undefined);
    };
  }

  flight(): ReturnType<Connection["flight"]> {
    return Promise.reject(new TypeError("Cannot send a flight: the connection is simulated"));
  }

  cancel(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    if (this.state !== "closed") this.#shut();
    this.state = "closed";
    return Promise.resolve();
  }
}
