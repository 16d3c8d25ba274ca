/**
 * One flight through the package's client. Its protocol messages are sent in one WebSocket message, and the server's
 * messages are turned into results.
 */
import type {
  Close,
  Column,
  Fetch,
  FlightOptions,
  FlightPart,
  Notice,
  Portal,
  Result,
  RowOptions,
  Statement,
} from "../driver/driver.ts";
import { encodePart } from "../driver/encoded_part.ts";
import { encodeParameters } from "../driver/parameters.ts";
import type { Parse } from "../driver/result_types.ts";
import type { Wire, WireStream } from "./neon_client.ts";

interface ColumnReader {
  readonly name: string;
  readonly parse: Parse;
}

interface RowField {
  readonly name: string;
  readonly dataTypeID: number;
}

/** A statement whose values were checked and converted to text. */
export interface EncodedStatement extends RowOptions {
  readonly text: string;
  readonly values: (string | null)[];
  readonly portal: Portal | undefined;
  readonly flushesBefore: boolean;
  /** The key of its messages in the cache, if they may be cached. */
  readonly cacheKey: Statement | undefined;
}

/** The messages of a cached statement, ready to be sent. */
interface EncodedMessages {
  readonly messages: Uint8Array;
}

export type Encoded = EncodedStatement | EncodedMessages | Fetch | Close;

const cache = new WeakMap<Statement, EncodedMessages>();

/**
 * Prepares a part before anything of its flight is sent. Throws `TypeError` for a text or value that cannot be sent.
 */
export function encode(part: FlightPart): Encoded {
  if (!("text" in part)) return part;
  const cached = cache.get(part);
  if (cached !== undefined) return cached;
  const { text, values, portal, isStatic, flushesBefore = false, rowMode, parsers } = encodePart(
    part,
  ) as Statement;
  return {
    rowMode,
    parsers,
    text,
    values: isStatic ? encodeParameters(values) : values as (string | null)[],
    portal,
    flushesBefore,
    cacheKey: isStatic ? part : undefined,
  };
}

/**
 * Implements the package's `Submittable`, its hook for query objects of other libraries. The client calls `submit` when
 * the connection is free, then `handle…` for each message from the server. `NeonConnection` reads errors and
 * ReadyForQuery from the protocol events instead, because the client drops a query at its first error.
 */
export class FlightQuery {
  readonly results: Result[] = [];
  readonly #parts: readonly Encoded[];
  readonly #writer: MessageWriter;
  readonly #parserOf: (oid: number) => Parse;
  readonly #onNotice: FlightOptions["onNotice"];
  #columns: Column[] = [];
  #readers: ColumnReader[] = [];
  #rows: (Record<string, unknown> | unknown[])[] = [];
  #decodeError: Error | undefined;
  #notice: Notice | undefined;

  constructor(
    parts: readonly Encoded[],
    { writer, parserOf, onNotice }: {
      writer: MessageWriter;
      parserOf: (oid: number) => Parse;
      onNotice?: FlightOptions["onNotice"];
    },
  ) {
    this.#parts = parts;
    this.#writer = writer;
    this.#parserOf = parserOf;
    this.#onNotice = onNotice;
  }

  /** The error of the first result whose rows could not be read. */
  get decodeError(): Error | undefined {
    return this.results.find(({ decodeError }) => decodeError !== undefined)?.decodeError;
  }

  /** Those of the part that the server is answering. */
  get #rowOptions(): RowOptions {
    const part = this.#parts[this.results.length];
    return part === undefined || "messages" in part || "close" in part ? {} : part;
  }

  /** Sends all messages of the flight and one Sync. */
  submit(wire: Wire): void {
    this.#writer.cork();
    for (const part of this.#parts) {
      if ("cacheKey" in part && part.cacheKey !== undefined) this.#cache(wire, part, part.cacheKey);
      else write(wire, part);
    }
    wire.sync();
    this.#writer.uncork();
  }

  /** Sends the statement and keeps its messages. There is no Describe: its rows are read by position, as text. */
  #cache(wire: Wire, { text, values, flushesBefore }: EncodedStatement, key: Statement): void {
    const messages = this.#writer.copyOf(() => {
      if (flushesBefore) wire.flush();
      wire.parse({ text });
      wire.bind({ values, portal: "" });
      wire.execute({ portal: "", rows: 0 });
    });
    cache.set(key, { messages });
  }

  handleRowDescription({ fields }: { fields: readonly RowField[] }): void {
    const { parsers = {} } = this.#rowOptions;
    this.#columns = fields.map(({ name, dataTypeID: typeId }) => ({ name, typeId }));
    this.#readers = this.#columns.map(({ name, typeId }) => ({
      name,
      parse: parsers[typeId] ?? this.#parserOf(typeId),
    }));
  }

  handleDataRow({ fields }: { fields: readonly (string | null)[] }): void {
    if (this.#rowOptions.rowMode === "array") {
      this.#rows.push(
        fields.map((text, index) => text === null ? null : this.#read(this.#readers[index]!, text)),
      );
      return;
    }
    const row: Record<string, unknown> = {};
    fields.forEach((text, index) => {
      const column = this.#readers[index];
      if (column === undefined) row[index] = text;
      else setColumn(row, column.name, text === null ? null : this.#read(column, text));
    });
    this.#rows.push(row);
  }

  #read({ name, parse }: ColumnReader, text: string): unknown {
    try {
      return parse(text);
    } catch (cause) {
      // The client would treat an exception here as a failure of the connection.
      this.#decodeError ??= new TypeError(
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

  /** Called by `NeonConnection`: the client does not pass notices to the query. */
  handleNotice({ severity, message, code, detail, hint, where, routine }: Notice): void {
    this.#notice = { severity, message, code, detail, hint, where, routine };
    this.#onNotice?.(this.#notice);
  }

  handleEmptyQuery(): void {
    this.#complete("", 0);
  }

  /** Refuses COPY FROM STDIN, which would need a stream of data. The server then answers with an ERROR. */
  handleCopyInResponse(wire: Wire): void {
    wire.sendCopyFail("COPY FROM STDIN is not supported here");
    // The server has ignored the first Sync, because it was waiting for COPY's data.
    wire.sync();
  }

  handleCopyData(): void {
    this.#decodeError ??= new TypeError(
      "Cannot return the data of COPY TO STDOUT as the driver reads only rows; use SELECT",
    );
  }

  handlePortalSuspended(): void {
    this.#complete("", this.#rows.length, { isSuspended: true });
  }

  /** Called by `NeonConnection`: the client does not pass CloseComplete to the query. */
  handleCloseComplete(): void {
    this.#complete("", 0);
  }

  // The client calls these two as well. `NeonConnection` handles both messages.
  handleError(): void {}
  handleReadyForQuery(): void {}

  #complete(command: string, rowCount: number, more: { isSuspended?: true } = {}): void {
    const [decodeError, notice] = [this.#decodeError, this.#notice];
    this.results.push({
      rows: this.#rows as Record<string, unknown>[],
      columns: this.#columns,
      rowCount,
      command,
      ...more,
      ...(notice === undefined ? {} : { notice }),
      ...(decodeError === undefined ? {} : { decodeError }),
    });
    this.#rows = [];
    this.#columns = [];
    this.#readers = [];
    this.#decodeError = undefined;
    this.#notice = undefined;
  }
}

/** Assigning to `__proto__` would set the row's prototype where the runtime has that accessor, as Workers and Node do. */
function setColumn(row: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== "__proto__") row[name] = value;
  else {
    const attributes = { configurable: true, enumerable: true, writable: true };
    Object.defineProperty(row, name, { value, ...attributes });
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
 * Sends everything that is written between `cork` and `uncork` as one WebSocket message. With two messages, a relay
 * whose TCP side delays small segments (Nagle's algorithm) would hold the second one until the first is acknowledged.
 */
export class MessageWriter {
  readonly #send: WireStream["write"];
  #corked: Uint8Array[] | undefined;

  constructor(stream: WireStream) {
    this.#send = stream.write.bind(stream);
    stream.write = (bytes, ...callback) => {
      // The stream closes in the callback of an empty write, which must therefore not be corked.
      if (this.#corked === undefined || bytes.length === 0) return this.#send(bytes, ...callback);
      this.#corked.push(bytes);
      return true;
    };
  }

  cork(): void {
    this.#corked ??= [];
  }

  uncork(): void {
    const corked = this.#corked ?? [];
    this.#corked = undefined;
    if (corked.length > 0) this.#send(concat(corked));
  }

  /** The bytes that `write` adds to the corked message. */
  copyOf(write: () => void): Uint8Array {
    const corked = this.#corked!;
    const start = corked.length;
    write();
    return concat(corked.slice(start));
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
