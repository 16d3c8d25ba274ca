import type { Clock, Connection, ConnectionState, FlightAnswer, FlightPart } from "../../db/mod.ts";
import { ConnectionLostError } from "../../db/mod.ts";
import type { UnitCost } from "./plan.ts";

/** What the connections of a simulation have in common. */
export interface SimulatedServer {
  readonly clock: Clock;
  /** One way. */
  readonly latencyMs: number;
  /** Whether each connection has a backend of its own. */
  readonly isDirect: boolean;
  /** What an answer takes longer on its way. */
  delayMs(): number;
  /** Works for one flight, and calls back. */
  work(cost: UnitCost, done: () => void): void;
}

interface Flight {
  readonly cost: UnitCost;
  readonly done: () => void;
}

/** The one part of a simulated flight. */
export function simulatedFlight(cost: UnitCost): readonly FlightPart[] {
  return [{ text: "", values: [cost] }];
}

/** A connection to a simulated server, which does the flights one after the other. */
export class SimulatedConnection implements Connection {
  readonly status = "I";
  readonly processId = undefined;
  readonly isDirect: boolean;
  readonly ready: Promise<void> = Promise.resolve();
  readonly closed: Promise<undefined>;
  readonly #server: SimulatedServer;
  /** Calls back when the service has read an answer. */
  readonly #read: (cost: UnitCost, done: () => void) => void;
  readonly #shut: () => void;
  /** At the server, and not begun. */
  readonly #line: Flight[] = [];
  #isWorking = false;
  #underWay = 0;
  #isClosed = false;

  constructor(
    server: SimulatedServer,
    { read, onShut }: {
      read: (cost: UnitCost, done: () => void) => void;
      onShut: () => void;
    },
  ) {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.closed = promise;
    this.isDirect = server.isDirect;
    this.#server = server;
    this.#read = read;
    this.#shut = () => {
      onShut();
      resolve(undefined);
    };
  }

  get state(): ConnectionState {
    if (this.#isClosed) return "closed";
    return this.#underWay > 0 ? "busy" : "idle";
  }

  /** Takes a `simulatedFlight`. */
  flight(parts: readonly FlightPart[]): Promise<FlightAnswer> {
    const [{ values: [cost] }] = parts as unknown as [{ values: [UnitCost] }];
    const { clock, latencyMs } = this.#server;
    const { promise, resolve, reject } = Promise.withResolvers<FlightAnswer>();
    const done = () => {
      if (this.#isClosed) return reject(closedError());
      this.#underWay--;
      resolve({ results: [], status: "I" });
    };
    this.#underWay++;
    clock.after(latencyMs, () => {
      this.#line.push({ cost, done });
      if (!this.#isWorking) this.#work();
    });
    return promise;
  }

  cancel(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    if (!this.#isClosed) this.#shut();
    this.#isClosed = true;
    return Promise.resolve();
  }

  #work(): void {
    const flight = this.#line.shift();
    this.#isWorking = flight !== undefined;
    if (flight === undefined) return;
    const { clock, latencyMs } = this.#server;
    const { cost, done } = flight;
    this.#server.work(cost, () => {
      clock.after(latencyMs + this.#server.delayMs(), () => this.#read(cost, done));
      this.#work();
    });
  }
}

function closedError(): ConnectionLostError {
  return new ConnectionLostError("Lost the connection to PostgreSQL: it was closed", {
    cause: undefined,
    sent: true,
    begun: false,
    answered: [],
  });
}
