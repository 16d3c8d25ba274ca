/**
 * One connection between the layer and the server: each message is on its way for a while, in its direction's order.
 * Points are before a message arrives and after it has been taken.
 */
import type { FlightPart } from "../../../src/db/driver/driver.ts";
import type { ServerError } from "../../../src/db/mod.ts";
import type { ScriptedConnection } from "../../support/scripted_driver.ts";
import { pick, type Random } from "../random.ts";
import { type BackendTimeouts, labelOf, ModelBackend } from "./model_backend.ts";
import type { ModelServer } from "./model_server.ts";
import type { Timeline } from "./timeline.ts";
import type { Unit } from "./unit.ts";

const LATENCY_MS = 1;
/** A cancel request opens a socket of its own first. */
const CANCEL_LATENCY_MS = [1, 5];

export interface LinkOptions {
  readonly server: ModelServer;
  readonly timeline: Timeline;
  readonly timeouts: BackendTimeouts;
  readonly connectTimeoutMs: number;
  /** Whether the login goes with the first flight. */
  readonly pipelined: boolean;
  readonly random: Random;
}

/** One lease of the connection. */
export interface Holding {
  readonly unit: Unit;
  isOver: boolean;
  /** Of a connection that others may hold at the same time: whether the unit has left it before its answer came. */
  readonly hasLeft: (() => boolean) | undefined;
}

interface Message {
  isLost: boolean;
  /** How much later than usual it arrives. */
  delayMs: number;
}

export class ModelLink {
  readonly name: string;
  readonly connection: ScriptedConnection;
  backend: ModelBackend | undefined;
  /** The lease for which the next flight is sent: the newest one, unless it is shared. */
  sender: Holding | undefined;
  #holdings: Holding[] = [];
  /** A FATAL error has told the client that the server ended the connection before it began on another flight. */
  hasEndedBetweenFlights = false;
  readonly #options: LinkOptions;
  readonly #outgoing = new Set<Message>();
  readonly #opened = Promise.withResolvers<void>();
  #isFrozen = false;
  #isLoggingIn = false;
  /** The server has ended the login. */
  #isRefused = false;
  #hasSaidGoodbye = false;
  /** Waits for the server's end of the socket. */
  #onServerEnd: (() => void) | undefined;

  constructor(connection: ScriptedConnection, number: number, options: LinkOptions) {
    this.name = `connection ${number}`;
    this.connection = connection;
    this.#options = options;
    const disarm = options.timeline.after(options.connectTimeoutMs, () => {
      this.#opened.reject(new Error("no answer in time"));
      if (connection.state === "opening") connection.cut();
    });
    connection.ready.then(disarm, disarm);
    connection.closed.then(() => this.#hangUp());
    const close = connection.close.bind(connection);
    connection.close = ({ timeoutMs }) => {
      if (connection.state !== "closed") connection.goodbye = this.#goodbye(timeoutMs);
      return close({ timeoutMs });
    };
  }

  /** The leases that are not over. */
  get holders(): readonly Holding[] {
    return this.#holdings.filter(({ isOver, hasLeft }) => !isOver && !hasLeft?.());
  }

  hold(holding: Holding): void {
    this.#holdings = [...this.holders, holding];
    this.sender = holding;
  }

  /** Resolves when a flight may be sent. */
  open(): Promise<void> {
    this.#toServer("the connect", () => {
      if (!this.#options.pipelined) return this.#logIn();
      this.toClient("the open socket", () => {
        this.#opened.resolve();
        this.#options.timeline.after(0, () => this.#beginLogin([]));
      });
    });
    return this.#opened.promise;
  }

  /** Sends a flight. */
  send(parts: readonly FlightPart[]): void {
    if (this.connection.state === "opening" && !this.#isLoggingIn) return this.#beginLogin(parts);
    this.#toServer(`the flight (${parts.map(labelOf).join("; ")})`, () => {
      this.backend?.receive(parts);
    });
  }

  /** Asks the server, over a socket of its own, to stop what runs. */
  cancel(): void {
    const { server, timeline, random } = this.#options;
    const asked = this.holders;
    if (asked.length > 1) {
      const units = asked.map(({ unit }) => unit.caller).join(" and ");
      timeline.violate(`a cancel request for a connection that ${units} share`);
    }
    timeline.after(pick(CANCEL_LATENCY_MS, random)!, () => {
      timeline.point(`${this.name}: a cancel request is on its way`, { link: this });
      server.whenAwake(() => {
        const met = this.holders.find((holding) => !asked.includes(holding));
        if (met !== undefined) {
          timeline.violate(`a cancel request of ${asked[0]?.unit.name} met ${met.unit.name}`);
        }
        this.backend?.cancel();
      });
    });
  }

  /** `isLast`: the server has closed its end behind it. */
  toClient(
    label: string,
    act: (connection: ScriptedConnection) => void,
    { isLast = false }: { isLast?: boolean } = {},
  ): void {
    const { connection } = this;
    const isDeaf = () =>
      this.#isFrozen || connection.state === "closed" && this.#onServerEnd === undefined;
    this.#options.timeline.after(LATENCY_MS, () => {
      if (isDeaf()) return;
      this.#point(`${label} is on its way back`);
      if (isDeaf()) return;
      if (connection.state !== "closed") act(connection);
      else if (isLast) this.#onServerEnd?.();
      this.#point(`${label} has come`);
    });
  }

  /** The socket breaks. What was on its way to the server is lost, or arrives later by `delayMs`. */
  cut({ delayMs }: { delayMs?: number } = {}): void {
    for (const message of this.#outgoing) {
      if (delayMs === undefined) message.isLost = true;
      else message.delayMs = delayMs;
    }
    this.#opened.reject(new Error("the socket broke"));
    this.connection.cut();
  }

  /** From now on no byte passes, and neither side notices. */
  freeze(): void {
    this.#isFrozen = true;
  }

  /** Ends a frozen connection, as a network does at last. */
  thaw(): void {
    if (this.#isFrozen) this.connection.cut();
  }

  /** The server ends the connection with a FATAL error, also in the middle of the login. */
  kill(fatal: ServerError): void {
    if (this.backend !== undefined) return this.backend.kill(fatal);
    for (const message of this.#outgoing) message.isLost = true;
    this.#refuse(fatal);
  }

  #beginLogin(parts: readonly FlightPart[]): void {
    if (this.#isLoggingIn || this.connection.state !== "opening") return;
    this.#isLoggingIn = true;
    this.#toServer(`the login (${parts.map(labelOf).join("; ")})`, () => {
      this.#logIn();
      if (parts.length > 0) this.backend?.receive(parts);
    });
  }

  #logIn(): void {
    if (this.#isRefused) return;
    const { refusal } = this.#options.server;
    if (refusal !== undefined) return this.#refuse(refusal);
    this.backend = new ModelBackend(this, this.#options);
    this.toClient("the end of the login", (connection) => {
      connection.logIn();
      this.#opened.resolve();
    });
  }

  #refuse(fatal: ServerError): void {
    this.#isRefused = true;
    this.toClient(`FATAL ${fatal.sqlState}`, (connection) => {
      this.#opened.reject(fatal);
      connection.cut({ fatal });
    }, { isLast: true });
  }

  #toServer(label: string, act: () => void): void {
    const message: Message = { isLost: false, delayMs: 0 };
    this.#outgoing.add(message);
    this.#options.timeline.after(LATENCY_MS, () => {
      this.#point(`${label} is on its way`);
      if (message.delayMs === 0) return this.#arrive(message, { label, act });
      this.#options.timeline.after(message.delayMs, () => this.#arrive(message, { label, act }));
    });
  }

  #arrive(message: Message, { label, act }: { label: string; act: () => void }): void {
    this.#outgoing.delete(message);
    if (message.isLost || this.#isFrozen) return;
    this.#options.server.whenAwake(() => {
      act();
      this.#point(`${label} has arrived`);
    });
  }

  /** Resolves when the server has closed too, or after the time. */
  #goodbye(timeoutMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const disarm = this.#options.timeline.after(timeoutMs, resolve);
    this.#onServerEnd = () => {
      disarm();
      resolve();
    };
    this.#hasSaidGoodbye = true;
    this.#toServer("the goodbye", () => {
      if (this.backend === undefined) this.toClient("the goodbye", () => {}, { isLast: true });
      else this.backend.hangUp();
    });
    return promise;
  }

  /** The server learns that the client's end is shut, behind all that was sent. */
  #hangUp(): void {
    if (this.#hasSaidGoodbye) return;
    const { timeline, server } = this.#options;
    const latest = Math.max(0, ...[...this.#outgoing].map(({ delayMs }) => delayMs));
    timeline.after(LATENCY_MS + latest, () => {
      if (!this.#isFrozen) server.whenAwake(() => this.backend?.hangUp());
    });
  }

  #point(label: string): void {
    this.#options.timeline.point(`${this.name}: ${label}`, { link: this });
  }
}
