/**
 * How a flight crosses the package's client: what is written goes out as one message, what comes back becomes
 * results. Also the parts of the client that the package's own declarations leave out.
 */
import { ServerError } from "../errors.ts";
import { encodeParameters } from "../driver/parameters.ts";
import type { Close, Fetch, FlightPart, Portal, Result, Statement } from "../driver/driver.ts";
import type { Parse } from "../driver/result_types.ts";

/** A statement whose values have been checked and made text. */
export interface EncodedStatement {
  readonly text: string;
  readonly values: (string | null)[];
  readonly portal: Portal | undefined;
  readonly flushesBefore: boolean;
  /** The statement itself, if its messages are to be kept. */
  readonly routine: Statement | undefined;
}

/** What was written for a routine statement before. */
interface EncodedMessages {
  readonly messages: Uint8Array;
}

export type Encoded = EncodedStatement | EncodedMessages | Fetch | Close;

const routines = new WeakMap<Statement, EncodedMessages>();

/** Throws `TypeError` for what PostgreSQL could not take, so that nothing of the flight is sent. */
export function encode(part: FlightPart): Encoded {
  if (!("text" in part)) return part;
  const kept = routines.get(part);
  if (kept !== undefined) return kept;
  const { text, values, portal, isStatic, flushesBefore = false } = part;
  if (text.includes("\0") || !text.isWellFormed()) {
    throw new TypeError(
      "Cannot send the statement as its text contains a NUL character or a lone surrogate; pass such data as bytea",
    );
  }
  return {
    text,
    values: encodeParameters(values),
    portal,
    flushesBefore,
    routine: isStatic ? part : undefined,
  };
}

/**
 * The package's hook for foreign queries: it calls `submit` when the connection is free, then `handle…` for each
 * message. Errors and ReadyForQuery are read from the wire's own events, since the client forgets a query at its
 * first error.
 */
export class FlightQuery {
  readonly results: Result[] = [];
  readonly #parts: readonly Encoded[];
  readonly #writer: MessageWriter;
  readonly #parserOf: (oid: number) => Parse;
  #columns: Column[] = [];
  #rows: Record<string, unknown>[] = [];
  #refusal: Error | undefined;
  #notice: string | undefined;

  constructor(
    parts: readonly Encoded[],
    { writer, parserOf }: { writer: MessageWriter; parserOf: (oid: number) => Parse },
  ) {
    this.#parts = parts;
    this.#writer = writer;
    this.#parserOf = parserOf;
  }

  /** Why the answer is of no use, though the server found no fault. */
  get refusal(): Error | undefined {
    return this.results.find(({ decodeError }) => decodeError !== undefined)?.decodeError;
  }

  submit(wire: Wire): void {
    this.#writer.hold();
    for (const part of this.#parts) {
      if ("routine" in part && part.routine !== undefined) this.#keep(wire, part, part.routine);
      else write(wire, part);
    }
    wire.sync();
    this.#writer.release();
  }

  #keep(wire: Wire, encoded: EncodedStatement, routine: Statement): void {
    const { text, values, flushesBefore } = encoded;
    const messages = this.#writer.copyOf(() => {
      if (flushesBefore) wire.flush();
      wire.parse({ text });
      wire.bind({ values, portal: "" });
      wire.execute({ portal: "", rows: 0 });
    });
    routines.set(routine, { messages });
  }

  handleRowDescription({ fields }: { fields: readonly RowField[] }): void {
    this.#columns = fields.map(({ name, dataTypeID }) => ({
      name,
      parse: this.#parserOf(dataTypeID),
    }));
  }

  handleDataRow({ fields }: { fields: readonly (string | null)[] }): void {
    const row: Record<string, unknown> = {};
    fields.forEach((text, index) => {
      const column = this.#columns[index];
      if (column === undefined) row[index] = text;
      else row[column.name] = text === null ? null : this.#read(column, text);
    });
    this.#rows.push(row);
  }

  #read({ name, parse }: Column, text: string): unknown {
    try {
      return parse(text);
    } catch (cause) {
      // Thrown from here, it would count as the connection's failure.
      this.#refusal ??= new TypeError(
        `Cannot read the column ${JSON.stringify(name)} as its parser failed; see the cause`,
        { cause },
      );
      return undefined;
    }
  }

  handleCommandComplete({ text }: { text: string }): void {
    const words = text.split(" ");
    const count = Number(words.at(-1));
    this.#complete(words[0] ?? "", Number.isInteger(count) ? count : 0);
  }

  /** Not the client's, which gives notices to listeners. */
  handleNotice({ code }: { code?: string }): void {
    this.#notice = code;
  }

  handleEmptyQuery(): void {
    this.#complete("", 0);
  }

  /** COPY needs a stream of its own kind; refused here, it ends with an ERROR from the server. */
  handleCopyInResponse(wire: Wire): void {
    wire.sendCopyFail("COPY FROM STDIN is not supported here");
    // While it waits for data, a server passes over the Sync that it has been sent.
    wire.sync();
  }

  handleCopyData(): void {
    this.#refusal ??= new TypeError(
      "Cannot give the data of COPY TO STDOUT as only rows are read here; use SELECT",
    );
  }

  handlePortalSuspended(): void {
    this.#complete("", this.#rows.length, { isSuspended: true });
  }

  /** Not the client's: it does not pass this one on. */
  handleCloseComplete(): void {
    this.#complete("", 0);
  }

  handleError(): void {}
  handleReadyForQuery(): void {}

  #complete(command: string, rowCount: number, more: { isSuspended?: true } = {}): void {
    const refused = this.#refusal === undefined ? {} : { refusal: this.#refusal };
    const noticed = this.#notice === undefined ? {} : { notice: this.#notice };
    this.results.push({ rows: this.#rows, rowCount, command, ...more, ...noticed, ...refused });
    this.#rows = [];
    this.#columns = [];
    this.#refusal = undefined;
    this.#notice = undefined;
  }
}

function write(wire: Wire, part: Encoded): void {
  if ("messages" in part) return void wire.stream.write(part.messages);
  if ("close" in part) return wire.close({ type: "P", name: part.close.name });
  if ("fetch" in part) return run(wire, part.fetch);
  const { text, values, portal, flushesBefore } = part;
  if (flushesBefore) wire.flush();
  wire.parse({ text });
  wire.bind({ values, portal: portal?.name ?? "" });
  run(wire, portal);
}

function run(wire: Wire, { name, maxRows }: Portal = { name: "", maxRows: 0 }): void {
  wire.describe({ type: "P", name });
  wire.execute({ portal: name, rows: maxRows });
}

/**
 * Makes one socket message of all that is written between `hold` and `release`. More than one would wait for
 * each other's acknowledgement in a relay whose TCP side delays small segments.
 */
export class MessageWriter {
  readonly #send: WireStream["write"];
  #held: Uint8Array[] | undefined;

  constructor(stream: WireStream) {
    this.#send = stream.write.bind(stream);
    stream.write = (bytes, ...callback) => {
      // The stream closes itself by an empty write, whose callback must be called.
      if (this.#held === undefined || bytes.length === 0) return this.#send(bytes, ...callback);
      this.#held.push(bytes);
      return true;
    };
  }

  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    if (held.length > 0) this.#send(concat(held));
  }

  /** What `write` adds to the message that is held. */
  copyOf(write: () => void): Uint8Array {
    const held = this.#held!;
    const start = held.length;
    write();
    return concat(held.slice(start));
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** The package's error message as ours. */
export function toServerError(message: ErrorMessage): ServerError {
  return new ServerError({
    message: message.message ?? "the server gave no reason",
    severity: message.severity ?? "ERROR",
    sqlState: message.code ?? "XX000",
    detail: message.detail,
    hint: message.hint,
    schema: message.schema,
    table: message.table,
    column: message.column,
    constraint: message.constraint,
  });
}

/** The package rejects with `ErrorEvent`s too, which are no `Error`s. */
export function toError(reason: unknown): Error {
  if (reason instanceof Error) return reason;
  const event = reason as { message?: unknown; error?: unknown } | null | undefined;
  const message = typeof event?.message === "string" && event.message !== ""
    ? event.message
    : "the WebSocket failed without a reason";
  return new Error(message, { cause: event?.error });
}

/** A WebSocket of the runtime's, or of a library's with the same face. */
export type WebSocketConstructor = new (url: string) => unknown;

interface Column {
  readonly name: string;
  readonly parse: Parse;
}

interface RowField {
  readonly name: string;
  readonly dataTypeID: number;
}

export interface ErrorMessage {
  readonly message?: string;
  readonly severity?: string;
  readonly code?: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
}

export interface WireStream {
  /** `terminate` is what the standard's WebSocket lacks: to end without the peer's consent. */
  readonly ws?: { readonly readyState: number; terminate?(): void } | null;
  emit(event: string, ...args: unknown[]): boolean;
  write(bytes: Uint8Array, ...callback: unknown[]): boolean;
  destroy(): void;
}

export interface Wire {
  readonly stream: WireStream;
  connect(port: number, host: string): void;
  parse(statement: { text: string }): void;
  bind(portal: { values: (string | null)[]; portal: string }): void;
  describe(target: { type: "P"; name: string }): void;
  execute(portal: { portal: string; rows: number }): void;
  close(target: { type: "P"; name: string }): void;
  flush(): void;
  sync(): void;
  sendCopyFail(reason: string): void;
  cancel(processId: number, secretKey: number): void;
  end(): void;
  on(event: "readyForQuery", listener: (message: { status: string }) => void): void;
  on(event: "errorMessage", listener: (message: ErrorMessage) => void): void;
  on(event: "notice", listener: (message: { code?: string }) => void): void;
  on(event: "error", listener: (error: unknown) => void): void;
  on(
    event: "parseComplete" | "closeComplete" | "connect" | "end",
    listener: () => void,
  ): void;
}

/** The package's client, as far as it is used here. */
export interface NeonClient {
  readonly connection: Wire;
  readonly host: string;
  readonly port: number;
  readonly processID: number | null;
  readonly secretKey: number | null;
  readonly neonConfig: {
    pipelineConnect: "password" | false;
    coalesceWrites: boolean;
    disableWarningInBrowsers: boolean;
    useSecureWebSocket: boolean;
    webSocketConstructor: WebSocketConstructor | undefined;
    wsProxy: (host: string, port: number) => string;
  };
  _handleAuthSASLContinue(message: unknown): Promise<void>;
  connect(): Promise<void>;
  query(submittable: FlightQuery): void;
  on(event: "error", listener: (error: unknown) => void): void;
}
