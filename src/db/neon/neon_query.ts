/**
 * One flight through the package's client: its messages go out as one WebSocket message, and what comes back becomes
 * results.
 */
import { encodeParameters } from "../driver/parameters.ts";
import type { Close, Fetch, FlightPart, Portal, Result, Statement } from "../driver/driver.ts";
import type { Parse } from "../driver/result_types.ts";
import type { Wire, WireStream } from "./neon_client.ts";

interface Column {
  readonly name: string;
  readonly parse: Parse;
}

interface RowField {
  readonly name: string;
  readonly dataTypeID: number;
}

/** A statement whose values have been checked and made text. */
export interface EncodedStatement {
  readonly text: string;
  readonly values: (string | null)[];
  readonly portal: Portal | undefined;
  readonly flushesBefore: boolean;
  /** The key of its messages in the cache, if they may be cached. */
  readonly cacheKey: Statement | undefined;
}

/** The messages of a statement that was sent before and is static. */
interface EncodedMessages {
  readonly messages: Uint8Array;
}

export type Encoded = EncodedStatement | EncodedMessages | Fetch | Close;

const cache = new WeakMap<Statement, EncodedMessages>();

/** Throws `TypeError` for what PostgreSQL could not take, so that nothing of the flight is sent. */
export function encode(part: FlightPart): Encoded {
  if (!("text" in part)) return part;
  const cached = cache.get(part);
  if (cached !== undefined) return cached;
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
    cacheKey: isStatic ? part : undefined,
  };
}

/**
 * The package's hook for queries that are not its own: it calls `submit` when the connection is free, then `handle…` for
 * each message. Errors and ReadyForQuery are read from the connection's own events, since the client forgets a query at
 * its first error.
 */
export class FlightQuery {
  readonly results: Result[] = [];
  readonly #parts: readonly Encoded[];
  readonly #writer: MessageWriter;
  readonly #parserOf: (oid: number) => Parse;
  #columns: Column[] = [];
  #rows: Record<string, unknown>[] = [];
  #decodeError: Error | undefined;
  #notice: string | undefined;

  constructor(
    parts: readonly Encoded[],
    { writer, parserOf }: { writer: MessageWriter; parserOf: (oid: number) => Parse },
  ) {
    this.#parts = parts;
    this.#writer = writer;
    this.#parserOf = parserOf;
  }

  /** Of the first result whose rows could not be read, though the server reported no error. */
  get decodeError(): Error | undefined {
    return this.results.find(({ decodeError }) => decodeError !== undefined)?.decodeError;
  }

  submit(wire: Wire): void {
    this.#writer.hold();
    for (const part of this.#parts) {
      if ("cacheKey" in part && part.cacheKey !== undefined) this.#cache(wire, part, part.cacheKey);
      else write(wire, part);
    }
    wire.sync();
    this.#writer.release();
  }

  /** Without Describe: the rows of a static statement are read by position, as text. */
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
      // An exception here would count as a failure of the connection.
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

  /** Called by the connection: the client gives notices to its listeners only. */
  handleNotice({ code }: { code?: string }): void {
    this.#notice = code;
  }

  handleEmptyQuery(): void {
    this.#complete("", 0);
  }

  /** COPY needs a stream of its own kind. Refused here, it ends with an ERROR from the server. */
  handleCopyInResponse(wire: Wire): void {
    wire.sendCopyFail("COPY FROM STDIN is not supported here");
    // While the server waits for COPY's data it ignores the Sync that was sent before.
    wire.sync();
  }

  handleCopyData(): void {
    this.#decodeError ??= new TypeError(
      "Cannot give the data of COPY TO STDOUT as only rows are read here; use SELECT",
    );
  }

  handlePortalSuspended(): void {
    this.#complete("", this.#rows.length, { isSuspended: true });
  }

  /** Called by the connection: the client does not pass this message on. */
  handleCloseComplete(): void {
    this.#complete("", 0);
  }

  handleError(): void {}
  handleReadyForQuery(): void {}

  #complete(command: string, rowCount: number, more: { isSuspended?: true } = {}): void {
    const [decodeError, notice] = [this.#decodeError, this.#notice];
    this.results.push({
      rows: this.#rows,
      rowCount,
      command,
      ...more,
      ...(notice === undefined ? {} : { notice }),
      ...(decodeError === undefined ? {} : { decodeError }),
    });
    this.#rows = [];
    this.#columns = [];
    this.#decodeError = undefined;
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
 * Makes one WebSocket message of all that is written between `hold` and `release`. A relay whose TCP side delays small
 * segments would hold the second of two messages back until the first is acknowledged.
 */
export class MessageWriter {
  readonly #send: WireStream["write"];
  #held: Uint8Array[] | undefined;

  constructor(stream: WireStream) {
    this.#send = stream.write.bind(stream);
    stream.write = (bytes, ...callback) => {
      // The stream closes itself in the callback of an empty write.
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

  /** The bytes that `write` adds to the message that is held. */
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
