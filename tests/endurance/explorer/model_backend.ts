/** One backend of the server, in time: it takes a flight, runs its parts one after the other, and answers. */
import type { FlightPart, Result } from "../../../src/db/driver/driver.ts";
import { ServerError } from "../../../src/db/mod.ts";
import { serverError } from "../../support/scripted_driver.ts";
import type { ModelLink } from "./model_link.ts";
import { fatal, type ModelServer } from "./model_server.ts";
import { ModelSession, type Wait } from "./model_session.ts";
import type { Timeline } from "./timeline.ts";

/** How long a statement runs. */
const RUN_MS = 1;

export interface BackendTimeouts {
  readonly lockTimeoutMs: number;
  readonly idleTransactionTimeoutMs: number;
}

interface Flight {
  readonly parts: readonly FlightPart[];
  readonly results: Result[];
  isCancelled: boolean;
  /** Gives up the wait for a lock. */
  stopWaiting: ((error: ServerError) => void) | undefined;
}

export class ModelBackend {
  readonly session: ModelSession;
  #isAlive = true;
  #hasHungUp = false;
  #flight: Flight | undefined;
  /** Shared flights that have arrived behind it. */
  readonly #behind: (readonly FlightPart[])[] = [];
  #disarmIdle = () => {};
  readonly #link: ModelLink;
  readonly #server: ModelServer;
  readonly #timeline: Timeline;
  readonly #timeouts: BackendTimeouts;

  constructor(
    link: ModelLink,
    { server, timeline, timeouts }: {
      server: ModelServer;
      timeline: Timeline;
      timeouts: BackendTimeouts;
    },
  ) {
    this.#link = link;
    this.#server = server;
    this.#timeline = timeline;
    this.#timeouts = timeouts;
    this.session = new ModelSession(server, { onMisuse: (text) => timeline.violate(text) });
    server.backends.add(this);
  }

  receive(parts: readonly FlightPart[]): void {
    if (!this.#isAlive) return;
    if (this.#flight !== undefined) {
      this.#behind.push(parts);
      return;
    }
    this.#disarmIdle();
    this.#flight = { parts, results: [], isCancelled: false, stopWaiting: undefined };
    this.#runNext(this.#flight);
  }

  /** A cancel request: it strikes the statement that runs, and nothing else. */
  cancel(): void {
    const flight = this.#flight;
    if (flight === undefined) return;
    flight.isCancelled = true;
    flight.stopWaiting?.(canceled());
  }

  /** Rolls back, says why, and ends. */
  kill(fatal: ServerError): void {
    if (!this.#isAlive) return;
    const flight = this.#flight;
    this.#end();
    this.#link.toClient(`FATAL ${fatal.sqlState}`, (connection) => {
      connection.answered = flight?.results ?? [];
      this.#link.hasEndedBetweenFlights = flight === undefined;
      connection.cut({ fatal, begun: flight !== undefined });
    }, { isLast: true });
  }

  /** The client's end of the socket is shut: seen between two flights only. */
  hangUp(): void {
    this.#hasHungUp = true;
    if (this.#flight === undefined) this.#endQuietly();
  }

  #endQuietly(): void {
    this.#end();
    this.#link.toClient("the goodbye", () => {}, { isLast: true });
  }

  #end(): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.#disarmIdle();
    this.#flight = undefined;
    this.#behind.length = 0;
    this.#server.backends.delete(this);
    this.session.abort();
  }

  #runNext(flight: Flight): void {
    const part = flight.parts[flight.results.length];
    if (part === undefined) return this.#answer(flight, undefined);
    const timeMs = "text" in part && /^(begin|select .*set_config)/.test(part.text) ? 0 : RUN_MS;
    this.#timeline.after(timeMs, () => this.#server.whenAwake(() => this.#run(flight, part)));
  }

  #run(flight: Flight, part: FlightPart): void {
    if (flight !== this.#flight) return;
    if ("text" in part && part.flushesBefore) this.#flush(flight);
    const label = labelOf(part);
    this.#point(`the server is about to run: ${label}`);
    if (flight !== this.#flight) return;
    if (flight.isCancelled) return this.#answer(flight, canceled());
    const outcome = this.session.execute(part);
    if (outcome instanceof ServerError) return this.#answer(flight, outcome);
    if ("waitsFor" in outcome) return this.#wait(flight, part, outcome);
    if (label === "commit") {
      // https://www.postgresql.org/docs/current/protocol-flow.html: its effect comes before its CommandComplete.
      this.#point("the server has run commit and not said so");
      if (flight !== this.#flight) return;
    }
    flight.results.push({ rows: [], rowCount: 0, command: "", ...outcome });
    this.#runNext(flight);
  }

  #wait(flight: Flight, part: FlightPart, { waitsFor }: Wait): void {
    let isOver = false;
    const stop = (act: () => void) => {
      if (isOver) return;
      isOver = true;
      disarm();
      flight.stopWaiting = undefined;
      if (flight === this.#flight) act();
    };
    const fail = (error: ServerError) => stop(() => this.#answer(flight, error));
    const disarm = this.#timeline.after(this.#timeouts.lockTimeoutMs, () => {
      fail(serverError("55P03", "canceling statement due to lock timeout"));
    });
    flight.stopWaiting = fail;
    waitsFor.onEnd.push(() => stop(() => this.#run(flight, part)));
    this.#point("the server waits for a lock");
  }

  #flush({ results }: Flight): void {
    const sent = [...results];
    this.#link.toClient("the answer before COMMIT", (connection) => connection.answered = sent);
  }

  #answer({ parts, results }: Flight, error: ServerError | undefined): void {
    this.#flight = undefined;
    if (error !== undefined) this.session.fail();
    const last = parts.at(-1)!;
    // The COMMIT behind a Sync of its own ends the failed transaction.
    if (error !== undefined && "text" in last && last.syncsBefore) this.session.abort();
    const { status } = this.session;
    // As the driver tells of rows that it cannot read.
    const told = error ?? results.find(({ decodeError }) => decodeError !== undefined)?.decodeError;
    const answer = { results, status, ...(told === undefined ? {} : { error: told }) };
    this.#link.toClient(
      `the answer ${error?.sqlState ?? ""}${status}`,
      (connection) => connection.answer(answer),
    );
    const next = this.#behind.shift();
    if (next !== undefined) return this.receive(next);
    if (this.#hasHungUp) return this.#endQuietly();
    if (status === "I") return;
    this.#disarmIdle = this.#timeline.after(this.#timeouts.idleTransactionTimeoutMs, () => {
      this.kill(fatal("25P03", "idle-in-transaction timeout"));
    });
  }

  #point(label: string): void {
    this.#timeline.point(`${this.#link.name}: ${label}`, { link: this.#link });
  }
}

/** For people to read. */
export function labelOf(part: FlightPart): string {
  if ("close" in part) return "close";
  return "fetch" in part ? "fetch" : part.text.replaceAll(/\s+/g, " ").slice(0, 30);
}

function canceled(): ServerError {
  return serverError("57014", "canceling statement due to user request");
}
