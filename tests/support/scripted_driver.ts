/**
 * A driver without a server, for what a real server does not do on demand. It tracks BEGIN, COMMIT, ROLLBACK and errors
 * as PostgreSQL does. The test decides what statements answer, and when.
 */
import {
  ConnectError,
  ConnectionLostError,
  ServerError,
  type ServerErrorFields,
} from "../../src/db/errors.ts";
import { encodePart } from "../../src/db/driver/encoded_part.ts";
import type {
  Connection,
  ConnectionState,
  Driver,
  FlightAnswer,
  FlightOptions,
  FlightPart,
  Result,
  Statement,
  TransactionStatus,
} from "../../src/db/driver/driver.ts";

/** Gives the answer to a statement: rows or an error, now or later. */
export type Reply = (
  statement: Statement,
  connection: ScriptedConnection,
) => Answer | Promise<Answer>;

export type Answer = Partial<Result> | Error | undefined;

export interface ScriptedDriverOptions {
  readonly reply?: Reply;
  /** Called at each connect. If it throws, the connect fails; if it waits, the connect waits. */
  readonly onConnect?: (connection: ScriptedConnection) => void | Promise<void>;
  /** As with a pipelined login: `connect` resolves with state `opening`, and the first flight logs in. Without `untilReady`. */
  readonly pipelined?: boolean;
  /**
   * Takes whole flights in place of `reply`, and answers each by `ScriptedConnection.answer`. A pipelined login is then
   * for it to accept, by `logIn`.
   */
  readonly serve?: Serve;
}

export type Serve = (parts: readonly FlightPart[], connection: ScriptedConnection) => void;

export class ScriptedDriver implements Driver {
  /** One for each connect, in order. */
  readonly connections: ScriptedConnection[] = [];
  readonly #options: ScriptedDriverOptions;

  constructor(options: ScriptedDriverOptions = {}) {
    this.#options = options;
  }

  get open(): ScriptedConnection[] {
    return this.connections.filter(({ state }) => state !== "closed");
  }

  async connect(
    { signal, untilReady }: { timeoutMs: number; signal?: AbortSignal; untilReady?: boolean },
  ): Promise<ScriptedConnection> {
    const { reply = () => undefined, serve } = this.#options;
    const connection = new ScriptedConnection(reply, serve);
    this.connections.push(connection);
    const gaveUp = Promise.withResolvers<never>();
    gaveUp.promise.catch(() => {});
    signal?.addEventListener("abort", () => gaveUp.reject(signal.reason), { once: true });
    try {
      await Promise.race([this.#options.onConnect?.(connection), gaveUp.promise]);
      if (untilReady && serve !== undefined) {
        await Promise.race([connection.ready, gaveUp.promise]);
      }
    } catch (error) {
      connection.cut();
      throw new ConnectError("Cannot connect to PostgreSQL: scripted", { cause: error });
    }
    if (!this.#options.pipelined || untilReady && serve === undefined) connection.logIn();
    return connection;
  }
}

export class ScriptedConnection implements Connection {
  /** The texts of each flight that was sent. */
  readonly flights: string[][] = [];
  readonly ready: Promise<void>;
  readonly closed: Promise<Error | undefined>;
  readonly processId = 1;
  isDirect: boolean | undefined;
  state: ConnectionState = "opening";
  status: TransactionStatus | undefined;
  /** How many cancel requests were made. */
  cancels = 0;
  /** How often `close()` was called. */
  closes = 0;
  /** Called at each cancel request. */
  onCancel: () => void = () => {};
  /** `close()` waits for this promise, which stands for the peer's close. */
  goodbye: Promise<void> = Promise.resolve();
  /** What has come of the answer to the flight under way. */
  answered: readonly Result[] = [];
  readonly #reply: Reply;
  readonly #serve: Serve | undefined;
  readonly #ready = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<Error | undefined>();
  /** The flights under way, in their order. */
  readonly #line: LineFlight[] = [];
  /** Of the flight under way. */
  #results: readonly Result[] = [];

  constructor(reply: Reply, serve?: Serve) {
    this.#reply = reply;
    this.#serve = serve;
    this.ready = this.#ready.promise;
    this.ready.catch(() => {});
    this.closed = this.#closed.promise;
  }

  logIn(): void {
    if (this.state !== "opening") return;
    this.status = "I";
    this.state = this.#line.length === 0 ? "idle" : "busy";
    this.#ready.resolve();
  }

  async flight(
    parts: readonly FlightPart[],
    { isShared = false }: FlightOptions = {},
  ): Promise<FlightAnswer> {
    if (this.state === "closed") throw this.#lost(undefined, { sent: false });
    if (this.#line.some((ahead) => !(isShared && ahead.isShared))) {
      throw new TypeError("Cannot send a flight as the connection is busy");
    }
    parts.forEach(encodePart);
    const statements = parts.map(statementOf);
    if (this.#serve === undefined) this.logIn();
    if (this.state === "idle") this.state = "busy";
    this.flights.push(statements.map(({ text }) => text));
    const flight = { statements, isShared, ...Promise.withResolvers<FlightAnswer>() };
    const isFirst = this.#line.push(flight) === 1;
    if (this.#serve !== undefined) this.#serve(parts, this);
    else if (isFirst) void this.#runHead(flight);
    return await flight.promise;
  }

  async #runHead(flight: LineFlight): Promise<void> {
    try {
      const answer = await this.#run(flight.statements);
      if (this.#line[0] === flight) this.answer(answer);
    } catch (error) {
      flight.reject(error);
    }
  }

  /** The whole answer to the flight under way has come. */
  answer(answer: FlightAnswer): void {
    if (this.state === "closed") return;
    this.status = answer.status;
    this.#line.shift()?.resolve(answer);
    this.answered = this.#results = [];
    const [next] = this.#line;
    if (next === undefined) this.state = "idle";
    else if (this.#serve === undefined) void this.#runHead(next);
  }

  cancel(_options: { timeoutMs: number }): Promise<void> {
    this.cancels++;
    this.onCancel();
    return Promise.resolve();
  }

  async close(_options: { timeoutMs: number }): Promise<void> {
    this.closes++;
    this.#end(undefined);
    await this.goodbye;
    this.#closed.resolve(undefined);
  }

  /** Ends the connection from the server's side, with `fatal` after all results so far and that error. */
  cut({ fatal, begun = false }: { fatal?: ServerError; begun?: boolean } = {}): void {
    if (fatal !== undefined && this.answered.length === 0) this.answered = [...this.#results];
    this.#end(fatal, begun);
    this.#closed.resolve(fatal ?? new Error("scripted: the other side closed"));
  }

  async #run(statements: readonly Statement[]): Promise<FlightAnswer> {
    const results: Result[] = this.#results = [];
    let status = this.status ?? "I";
    for (const statement of statements) {
      const command = statement.text.trim().split(/[\s(]/)[0]!.toUpperCase();
      if (status === "E" && !["ROLLBACK", "COMMIT", "CLOSE"].includes(command)) {
        return { results, error: serverError("25P02", "the transaction is aborted"), status };
      }
      const answer = await this.#reply(statement, this);
      if (answer instanceof Error) {
        // The COMMIT behind a Sync of its own ends the failed transaction.
        const ends = status === "I" || command === "COMMIT" || statements.at(-1)!.syncsBefore;
        return { results, error: answer, status: ends ? "I" : "E" };
      }
      const tag = command === "COMMIT" && status === "E" ? "ROLLBACK" : command;
      if (tag === "BEGIN") status = "T";
      if (tag === "COMMIT" || tag === "ROLLBACK") {
        status = statement.text.startsWith("rollback to") ? "T" : "I";
      }
      results.push({ rows: [], rowCount: 0, command: tag, ...answer });
    }
    return { results, status };
  }

  #end(cause: Error | undefined, begun = false): void {
    if (this.state === "closed") return;
    const { answered } = this;
    const sent = this.#line.length > 0;
    this.state = "closed";
    this.#ready.reject(this.#lost(cause, { sent, begun, answered }));
    for (const [index, { reject }] of this.#line.splice(0).entries()) {
      const isHead = index === 0;
      reject(
        this.#lost(cause, {
          sent,
          begun: isHead && (begun || answered.length > 0),
          answered: isHead ? answered : [],
        }),
      );
    }
    this.answered = this.#results = [];
  }

  #lost(
    cause: Error | undefined,
    { sent, begun = false, answered = [] }: {
      sent: boolean;
      begun?: boolean;
      answered?: readonly Result[];
    },
  ): Error {
    return this.status === undefined
      ? new ConnectError("Cannot connect to PostgreSQL: scripted", { cause, sent })
      : new ConnectionLostError("Lost the connection to PostgreSQL: scripted", {
        cause,
        sent,
        begun,
        answered,
      });
  }
}

interface LineFlight extends PromiseWithResolvers<FlightAnswer> {
  readonly statements: readonly Statement[];
  readonly isShared: boolean;
}

/** Represents a portal's messages as statements. */
function statementOf(part: FlightPart): Statement {
  if ("fetch" in part) return { text: `fetch ${part.fetch.name}`, values: [] };
  if ("close" in part) return { text: `close ${part.close.name}`, values: [] };
  return part;
}

/** An ErrorResponse with this SQLSTATE. */
export function serverError(
  sqlState: string,
  message: string,
  severity = "ERROR",
  more: Partial<ServerErrorFields> = {},
): ServerError {
  // The function of the server that ends a backend, which tells its FATAL from a pooler's.
  const origin = severity === "FATAL" ? { routine: "ProcessInterrupts" } : {};
  return new ServerError({ sqlState, message, severity, ...origin, ...more });
}
