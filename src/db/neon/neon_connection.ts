/**
 * One connection through the package's client. That client sends one statement at a time, in messages of its own, and
 * hides the status byte. With a pipelined login it reports that it is connected when only the socket is open. So
 * flights are sent through its hook for query objects of other libraries, and the connection's state is read from the
 * protocol events of `client.connection`.
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
import { type NeonClient, toError, toServerError } from "./neon_client.ts";
import { encode, type Encoded, FlightQuery, MessageWriter } from "./neon_query.ts";
import { NeonSocket, sendCancelRequest } from "./neon_socket.ts";

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
}

interface Flight {
  readonly query: FlightQuery;
  /** The server's first ERROR in answer to it. */
  error: ServerError | undefined;
  /** Whether a ParseComplete has arrived. */
  begun: boolean;
  resolve(answer: FlightAnswer): void;
  reject(error: Error): void;
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
  readonly #writer: MessageWriter;
  readonly #opened = Promise.withResolvers<void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<Error | undefined>();
  readonly #connectTimer: ReturnType<typeof setTimeout>;
  #state: ConnectionState = "opening";
  #status: TransactionStatus | undefined;
  #flight: Flight | undefined;
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
    this.#writer = new MessageWriter(wire.stream);
    this.#socket = new NeonSocket(client, { onError: (error) => this.#fail(error) });

    // Registered before the client's own listeners: those treat an error outside a query as a failure of the client.
    wire.on("error", (error) => this.#failure ??= toError(error));
    wire.on("errorMessage", (message) => this.#errorResponse(toServerError(message)));
    // Before the socket opens, so that the startup message and the password are sent together with the first flight.
    if (options.pipeline) this.#writer.cork();
    client.connect().then(() => this.#socketOpen(), (error) => this.#fail(error));

    // After connect(): with a pipelined login, connect() removes all listeners of readyForQuery.
    wire.on("readyForQuery", ({ status }) => this.#readyForQuery(status));
    wire.on("parseComplete", () => {
      if (this.#flight !== undefined) this.#flight.begun = true;
    });
    wire.on("notice", (notice) => this.#flight?.query.handleNotice(notice));
    wire.on("closeComplete", () => this.#flight?.query.handleCloseComplete());
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
    let encoded: Encoded[];
    try {
      encoded = parts.map(encode);
    } catch (error) {
      return Promise.reject(error);
    }
    const query = new FlightQuery(encoded, {
      writer: this.#writer,
      parserOf: (oid) => parsers[oid] ?? parserOf(oid),
      onNotice,
    });
    const { promise, resolve, reject } = Promise.withResolvers<FlightAnswer>();
    this.#flight = { query, error: undefined, begun: false, resolve, reject };
    if (this.#state === "idle") this.#state = "busy";
    try {
      this.#client.query(query);
    } catch (error) {
      // workerd throws if the socket is closed, before it emits the close event.
      this.#fail(error);
    }
    return promise;
  }

  async cancel({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    const { processID, secretKey } = this.#client;
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
    this.#loginTimer = setTimeout(() => {
      try {
        this.#writer.uncork();
      } catch (error) {
        this.#fail(error);
      }
    }, 0);
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
    this.#state = "idle";
    const flight = this.#flight;
    this.#flight = undefined;
    this.#serverError = undefined;
    const error = flight?.error ?? flight?.query.decodeError;
    flight?.resolve({
      results: flight.query.results,
      status,
      ...(error === undefined ? {} : { error }),
    });
  }

  #errorResponse(error: ServerError): void {
    this.#serverError = error;
    if (this.#state === "busy" && this.#flight !== undefined) this.#flight.error ??= error;
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
        begun: flight?.begun ?? false,
        answered: flight?.query.results,
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
