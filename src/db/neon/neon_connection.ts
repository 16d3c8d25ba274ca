/**
 * One connection. The package opens its socket and logs in; then flights and their answers go past the package, which
 * sends one statement at a time and hides the status byte. With a pipelined login the package reports that it is
 * connected when only the socket is open, so that the state follows the server's own messages.
 */
import type {
  Connection,
  ConnectionState,
  FlightAnswer,
  FlightOptions,
  FlightPart,
  TransactionStatus,
} from "../driver/driver.ts";
import { parserOf } from "../driver/result_types.ts";
import { ConnectError, ConnectionLostError, ScopeError, type ServerError } from "../errors.ts";
import { completesWithin } from "../time/timeout.ts";
import { AnswerReader } from "./answer_reader.ts";
import {
  endsTransaction,
  type Flight,
  isReplayable,
  PROCESS_ID,
  resultsOf,
  ROLLBACK,
} from "./flight.ts";
import { encodeCopyFail, encodeFlight } from "./flight_codec.ts";
import { type OnMessage, protocolError } from "./message_framing.ts";
import { type NeonClient, toError } from "./neon_client.ts";
import { NeonSocket, sendCancelRequest } from "./neon_socket.ts";
import { PreparedStatements, type PreparePolicy } from "./prepared_statements.ts";
import { readFields, toNotice, toServerError } from "./server_fields.ts";

export interface ConnectOptions {
  /** Longest time from the start to the first ReadyForQuery. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Whether `opened` waits for the first ReadyForQuery, also with a pipelined login. */
  readonly untilReady?: boolean;
}

interface NeonConnectionOptions extends ConnectOptions {
  /** See `NeonDriverOptions.pipelineConnect`. */
  readonly pipeline: boolean;
  readonly policy: PreparePolicy;
}

/** The constructor starts to connect. */
export class NeonConnection implements Connection {
  /** Resolves when a flight may be sent. With a pipelined login, the server has not accepted the login yet. */
  readonly opened: Promise<void>;
  readonly ready: Promise<void>;
  readonly closed: Promise<Error | undefined>;
  readonly #newClient: () => NeonClient;
  readonly #options: NeonConnectionOptions;
  readonly #client: NeonClient;
  readonly #socket: NeonSocket;
  readonly #statements: PreparedStatements;
  readonly #opened = Promise.withResolvers<void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<Error | undefined>();
  readonly #connectTimer: ReturnType<typeof setTimeout>;
  #state: ConnectionState = "opening";
  #status: TransactionStatus | undefined;
  #flight: Flight | undefined;
  /** The answer to `PROCESS_ID`, which was sent behind a flight. */
  #question: AnswerReader | undefined;
  /** Whether that flight has been answered, so that the server's next message belongs to the question. */
  #isQuestionNext = false;
  /** The newest ERROR or FATAL since the last ReadyForQuery. If the connection ends now, this is the reason. */
  #serverError: ServerError | undefined;
  #failure: Error | undefined;
  #closedByUs = false;
  #loginTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(newClient: () => NeonClient, options: NeonConnectionOptions) {
    this.opened = this.#opened.promise;
    this.ready = this.#ready.promise;
    this.closed = this.#closed.promise;
    // Avoids an unhandled rejection: the same failure also rejects the flight and resolves `closed`.
    this.ready.catch(() => {});
    this.opened.catch(() => {});

    this.#newClient = newClient;
    this.#options = options;
    const client = this.#client = newClient();
    const { connection: wire } = client;
    this.#statements = new PreparedStatements(options.policy);
    this.#socket = new NeonSocket(client, {
      onError: (error) => this.#fail(error),
      onMessage: this.#message,
      onLogin: (status) => this.#readyForQuery(status),
    }, { holdsLogin: options.pipeline });

    // Registered before the client's own listeners: those treat an error outside a query as a failure of the client.
    wire.on("error", (error) => this.#failure ??= toError(error));
    client.connect().then(() => this.#socketOpen(), (error) => this.#fail(error));

    wire.on("end", () => this.#socketClosed());

    this.#connectTimer = setTimeout(
      () => this.#fail(new Error(`no answer within ${options.timeoutMs} ms`)),
      options.timeoutMs,
    );
    const { signal } = options;
    const abort = () => {
      this.#fail(new Error("the caller gave up", { cause: signal?.reason }));
      // Its permit is used again at once, and a peer that hangs does not answer the close frame.
      this.#socket.terminate();
    };
    signal?.addEventListener("abort", abort, { once: true });
    const forget = () => signal?.removeEventListener("abort", abort);
    this.opened.then(forget, forget);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get status(): TransactionStatus | undefined {
    return this.#status;
  }

  get processId(): number | undefined {
    return this.#client.processID ?? undefined;
  }

  get isDirect(): boolean | undefined {
    return this.#statements.isDirect;
  }

  flight(
    parts: readonly FlightPart[],
    { parsers = {}, onNotice }: FlightOptions = {},
  ): Promise<FlightAnswer> {
    if (this.#socket.isForeign()) return Promise.reject(ScopeError.foreign());
    if (this.#state === "closed") return Promise.reject(this.#lostError(undefined));
    if (this.#flight !== undefined) {
      return Promise.reject(
        new TypeError(
          "Cannot send a flight as the connection is busy with another one; await it first",
        ),
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<FlightAnswer>();
    const flight = {
      parts,
      parserOf: (oid: number) => parsers[oid] ?? parserOf(oid),
      onNotice,
      recovery: undefined,
      beganInside: this.#status === "T" || this.#status === "E",
      wasCancelled: false,
      resolve,
      reject,
    };
    let messages: Uint8Array[];
    try {
      const { bytes, answer } = this.#encode(parts, flight);
      messages = [bytes];
      this.#flight = { ...flight, answer };
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#statements.asks && this.#question === undefined && endsTransaction(parts)) {
      const { bytes, answer } = this.#encode([PROCESS_ID], { parserOf }, { names: false });
      messages.push(bytes);
      this.#question = answer;
    }
    if (this.#state === "idle") this.#state = "busy";
    this.#send(messages);
    return promise;
  }

  #encode(
    parts: readonly FlightPart[],
    { parserOf, onNotice }: Pick<Flight, "parserOf" | "onNotice">,
    options?: { names: boolean },
  ): { bytes: Uint8Array; answer: AnswerReader } {
    const statements = this.#statements;
    const sent = encodeFlight(parts, statements, options);
    const answer = new AnswerReader(sent, {
      parserOf,
      onNotice,
      statements,
      refuseCopy: () => this.#send([encodeCopyFail("COPY FROM STDIN is not supported here")]),
    });
    return { bytes: sent.bytes, answer };
  }

  #send(messages: readonly Uint8Array[]): void {
    try {
      this.#socket.send(...messages);
    } catch (error) {
      // workerd throws if the socket is closed, before it emits the close event.
      this.#fail(error);
    }
  }

  async cancel({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    const { processID, secretKey } = this.#client;
    if (this.#flight !== undefined) this.#flight.wasCancelled = true;
    if (processID === null || secretKey === null || this.#state === "closed") return;
    await sendCancelRequest(this.#newClient(), { processID, secretKey, timeoutMs });
  }

  async close({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    this.#closedByUs = true;
    if (this.#state === "idle") {
      this.#state = "closed";
      try {
        this.#client.connection.end();
      } catch {
        // workerd throws if the socket is already closed.
      }
    } else if (this.#state !== "closed") {
      this.#fail(new Error("the client closed the connection"));
    }
    if (!await completesWithin(this.closed, timeoutMs)) this.#socket.terminate();
  }

  #socketOpen(): void {
    if (!this.#options.untilReady) this.#opened.resolve();
    if (!this.#options.pipeline) return;
    // The startup messages are held for the first flight. Without a flight in this turn, they are sent alone.
    this.#loginTimer = setTimeout(() => this.#send([]), 0);
  }

  /** Reads one message of the server. */
  readonly #message: OnMessage = (type, bytes, start, end) => {
    if (this.#state === "closed") return false;
    switch (type) {
      case 0x5a: // ReadyForQuery
        this.#readyForQuery(String.fromCharCode(bytes[start]!));
        break;
      case 0x45: // ErrorResponse
        this.#errorResponse(toServerError(readFields(bytes, start, end)));
        break;
      case 0x4e: // NoticeResponse
        this.#answer?.readNotice(toNotice(readFields(bytes, start, end)));
        break;
      case 0x41: // NotificationResponse
      case 0x53: // ParameterStatus
        break;
      default: {
        const answer = this.#answer;
        if (answer === undefined) {
          throw protocolError(`it sent a message of the type ${type} unasked`);
        }
        answer.read(type, bytes, start, end);
      }
    }
    return true;
  };

  /** The answer that the server's next message belongs to. */
  get #answer(): AnswerReader | undefined {
    return this.#isQuestionNext ? this.#question : this.#flight?.answer;
  }

  #readyForQuery(status: string): void {
    if (this.#state === "closed") return;
    if (status !== "I" && status !== "T" && status !== "E") {
      return this.#fail(new Error(`the server sent an unknown status: ${JSON.stringify(status)}`));
    }
    this.#status = status;
    if (this.#state === "opening") {
      clearTimeout(this.#connectTimer);
      this.#opened.resolve();
      this.#ready.resolve();
      this.#state = this.#flight === undefined ? "idle" : "busy";
      return;
    }
    if (this.#isQuestionNext) return this.#readProcessId(this.#question!, status);
    const flight = this.#flight;
    if (flight === undefined) throw protocolError("it was ready unasked");
    const { answer } = flight;
    answer.end();
    this.#isQuestionNext = this.#question !== undefined;
    this.#serverError = undefined;
    if (answer.isStale && isReplayable(flight)) return this.#replay(flight, status);
    this.#state = "idle";
    this.#flight = undefined;
    const { error } = answer;
    flight.resolve({
      results: resultsOf(flight),
      status,
      ...(error === undefined ? {} : { error }),
    });
  }

  #readProcessId(question: AnswerReader, status: TransactionStatus): void {
    this.#question = undefined;
    this.#isQuestionNext = false;
    this.#serverError = undefined;
    question.end();
    // The flight before it had failed in its transaction, and so did the question. A later flight asks again.
    if (status !== "I") return;
    const [processId] = Object.values(question.results[0]?.rows[0] ?? {});
    this.#statements.learn({ isDirect: processId === String(this.processId) });
  }

  /** Sends the flight again, without prepared statements. */
  #replay(flight: Flight, status: TransactionStatus): void {
    flight.recovery = status === "I" ? [] : [ROLLBACK];
    const parts = [...flight.recovery, ...flight.parts];
    const { bytes, answer } = this.#encode(parts, flight, { names: false });
    flight.answer = answer;
    this.#send([bytes]);
  }

  #errorResponse(error: ServerError): void {
    this.#serverError = error;
    if (this.#state !== "opening") this.#answer?.readError(error);
  }

  /** Closes the connection because of an error. The first error is kept. */
  #fail(reason: unknown): void {
    this.#failure ??= toError(reason);
    this.#rejectPending();
    this.#socket.close();
  }

  #socketClosed(): void {
    this.#rejectPending();
    this.#socket.noteClosed();
    this.#closed.resolve(this.#closedByUs ? undefined : this.#lostError(undefined));
  }

  /** Rejects the flight and the promises of the login: no answer will come. */
  #rejectPending(): void {
    this.#state = "closed";
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#loginTimer);
    const error = this.#lostError(this.#flight);
    this.#opened.reject(error);
    this.#ready.reject(error);
    this.#flight?.reject(error);
    this.#flight = undefined;
  }

  /** `ConnectError` before the first ReadyForQuery, `ConnectionLostError` after it. */
  #lostError(flight: Flight | undefined): ConnectError | ConnectionLostError {
    const cause = this.#serverError ?? this.#failure;
    const reason = cause?.message ?? "the server or the relay closed the socket";
    if (this.#status !== undefined) {
      return new ConnectionLostError(`Lost the connection to PostgreSQL: ${reason}`, {
        cause,
        sent: flight !== undefined,
        begun: flight?.answer.hasBegun ?? false,
        answered: flight === undefined ? [] : resultsOf(flight),
      });
    }
    // 08P01, protocol_violation: a server that expects SCRAM answers a pipelined password with it.
    const hint = this.#options.pipeline && this.#serverError?.sqlState === "08P01"
      ? "; this server may not take a pipelined password: set DATABASE_PIPELINE_CONNECT=off"
      : "";
    return new ConnectError(`Cannot connect to PostgreSQL: ${reason}${hint}`, {
      cause,
      sent: flight !== undefined,
    });
  }
}
