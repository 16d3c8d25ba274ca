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
import { type AnsweringConnection, type AnswerOptions, AnswerReader } from "./answer_reader.ts";
import {
  type Flight,
  isReplayable,
  PROCESS_ID,
  processIdIn,
  questionAt,
  resultsOf,
  ROLLBACK,
} from "./flight.ts";
import { encodeCopyFail, encodeFlight, type SentFlight } from "./flight_codec.ts";
import type { Credentials } from "./login.ts";
import { type OnMessage, protocolError } from "./message_framing.ts";
import { type NeonClient, toError } from "./neon_client.ts";
import { NeonSocket, sendCancelRequest } from "./neon_socket.ts";
import { PreparedStatements, type PreparePolicy } from "./prepared_statements.ts";
import { readFields, toNotice, toServerError } from "./server_fields.ts";
import { readShortText } from "./text_reader.ts";

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
  readonly credentials: Credentials;
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
  readonly #answering: AnsweringConnection;
  readonly #opened = Promise.withResolvers<void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<Error | undefined>();
  readonly #connectTimer: ReturnType<typeof setTimeout>;
  #state: ConnectionState = "opening";
  #status: TransactionStatus | undefined;
  /** The flights under way, in the order in which they were sent and are answered. */
  readonly #line: Flight[] = [];
  /** What shared flights have written in this turn. */
  #unsent: Uint8Array[] = [];
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
    const statements = this.#statements = new PreparedStatements(options.policy);
    this.#answering = {
      statements,
      refuseCopy: () => this.#send([encodeCopyFail("COPY FROM STDIN is not supported here")]),
    };
    this.#socket = new NeonSocket(client, {
      credentials: options.credentials,
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
    { parsers, onNotice, isShared = false }: FlightOptions = {},
  ): Promise<FlightAnswer> {
    if (this.#socket.isForeign()) return Promise.reject(ScopeError.foreign());
    if (this.#state === "closed") return Promise.reject(this.#lostError(undefined));
    if (this.#line.length > 0 && !(isShared && this.#line.every((ahead) => ahead.isShared))) {
      return Promise.reject(
        new TypeError(
          "Cannot send a flight as the connection is busy with another one; await it first",
        ),
      );
    }
    const asksAt = this.#statements.asks ? questionAt(parts, this.#status) : undefined;
    const sent = asksAt === undefined ? parts : parts.toSpliced(asksAt, 0, PROCESS_ID);
    const options: AnswerOptions = {
      parserOf: parsers === undefined ? parserOf : (oid) => parsers[oid] ?? parserOf(oid),
      onNotice,
    };
    const beganInside = !isShared && (this.#status === "T" || this.#status === "E");
    let encoded: SentFlight;
    try {
      encoded = encodeFlight(sent, this.#statements, { isInside: beganInside });
    } catch (error) {
      return Promise.reject(error);
    }
    const { promise, resolve, reject } = Promise.withResolvers<FlightAnswer>();
    this.#line.push({
      parts,
      options,
      answer: new AnswerReader(encoded, options, this.#answering),
      asksAt,
      recovery: undefined,
      beganInside,
      wasCancelled: false,
      isShared,
      resolve,
      reject,
    });
    if (this.#state === "idle") this.#state = "busy";
    if (isShared) this.#sendLater(encoded.bytes);
    else this.#send([encoded.bytes]);
    return promise;
  }

  /** Sends the bytes with all others of this turn. */
  #sendLater(bytes: Uint8Array): void {
    if (this.#unsent.push(bytes) > 1) return;
    queueMicrotask(() => {
      if (this.#unsent.length > 0 && this.#state !== "closed") this.#send([]);
    });
  }

  /** Sends the messages behind what is unsent. */
  #send(messages: readonly Uint8Array[]): void {
    const unsent = this.#unsent;
    if (unsent.length > 0) this.#unsent = [];
    try {
      this.#socket.send(unsent.length === 0 ? messages : [...unsent, ...messages]);
    } catch (error) {
      // workerd throws if the socket is closed, before it emits the close event.
      this.#fail(error);
    }
  }

  async cancel({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    const { processID, secretKey } = this.#client;
    for (const flight of this.#line) flight.wasCancelled = true;
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
        this.#readyForQuery(readShortText(bytes, start, end));
        break;
      case 0x45: // ErrorResponse
        this.#errorResponse(toServerError(readFields(bytes, start, end)));
        break;
      case 0x4e: // NoticeResponse
        this.#line[0]?.answer.readNotice(toNotice(readFields(bytes, start, end)));
        break;
      case 0x41: // NotificationResponse
      case 0x53: // ParameterStatus
        break;
      default: {
        const [head] = this.#line;
        if (head === undefined) {
          throw protocolError(`it sent a message of the type ${type} unasked`);
        }
        head.answer.read(type, bytes, start, end);
      }
    }
    return true;
  };

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
      this.#state = this.#line.length === 0 ? "idle" : "busy";
      return;
    }
    const [flight] = this.#line;
    if (flight === undefined) throw protocolError("it was ready unasked");
    const { answer } = flight;
    if (!answer.endSync()) return;
    this.#serverError = undefined;
    this.#line.shift();
    if (answer.isStale && isReplayable(flight)) return this.#replay(flight, status);
    if (this.#line.length === 0) this.#state = "idle";
    const { error } = answer;
    const processId = processIdIn(flight);
    if (processId !== undefined) {
      this.#statements.learn({ isDirect: processId === String(this.processId) });
    }
    const results = resultsOf(flight);
    flight.resolve(error === undefined ? { results, status } : { results, status, error });
  }

  /** Sends the flight again, without prepared statements, and behind those under way. */
  #replay(flight: Flight, status: TransactionStatus): void {
    flight.recovery = status === "I" ? [] : [ROLLBACK];
    flight.asksAt = undefined;
    const parts = [...flight.recovery, ...flight.parts];
    const encoded = encodeFlight(parts, this.#statements, { names: false, isInside: false });
    flight.answer = new AnswerReader(encoded, flight.options, this.#answering);
    this.#line.push(flight);
    this.#send([encoded.bytes]);
  }

  #errorResponse(error: ServerError): void {
    this.#serverError = error;
    if (this.#state !== "opening") this.#line[0]?.answer.readError(error);
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

  /** Rejects the flights and the promises of the login: no answer will come. */
  #rejectPending(): void {
    this.#state = "closed";
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#loginTimer);
    const error = this.#lostError(this.#line[0]);
    this.#opened.reject(error);
    this.#ready.reject(error);
    for (const flight of this.#line.splice(0)) flight.reject(this.#lostError(flight));
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
      ? "; this server may not take a pipelined password: set DATABASE_PIPELINE_CONNECT=off (pipelineConnect)"
      : "";
    return new ConnectError(`Cannot connect to PostgreSQL: ${reason}${hint}`, {
      cause,
      sent: flight !== undefined,
    });
  }
}
