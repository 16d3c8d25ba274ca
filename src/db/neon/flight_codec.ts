/**
 * From the parts of a flight to the bytes that are sent, in one buffer, for any stream to a PostgreSQL server:
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 */
import type { FlightPart, Portal, RowOptions, Statement } from "../driver/driver.ts";
import { encodePart } from "../driver/encoded_part.ts";
import { encodeParameters } from "../driver/parameters.ts";
import { ByteWriter } from "./byte_writer.ts";
import type { PreparedStatement, PreparedStatements } from "./prepared_statements.ts";

/** How the server's answer to a part is to be read. */
export interface SentPart {
  /** The rows of a static statement are read by position, as text. */
  readonly kind: "static" | "statement" | "fetch" | "close";
  /** Its prepared statement, if it was sent by name. */
  readonly prepared: PreparedStatement | undefined;
  /** Whether its prepared statement is parsed with it: Close and Parse were sent first. */
  readonly isNew: boolean;
  readonly rows: RowOptions;
}

export interface SentFlight {
  readonly bytes: Uint8Array;
  readonly parts: readonly SentPart[];
  /** The place of the part behind a Sync of its own; `undefined` if there is none. */
  readonly syncAt: number | undefined;
  /** How many prepared statements are closed first. */
  readonly closes: number;
  /** See `PreparedStatements.flight`. */
  readonly number: number;
}

const NO_OPTIONS: RowOptions = {};
const CLOSE: SentPart = { kind: "close", prepared: undefined, isNew: false, rows: NO_OPTIONS };
const UNNAMED_STATIC: SentPart = {
  kind: "static",
  prepared: undefined,
  isNew: false,
  rows: NO_OPTIONS,
};

const WHOLE: Portal = { name: "", maxRows: 0 };

/** All flights are written here, one after the other. */
const writer = new ByteWriter();

/**
 * Encodes a flight: its parts and a Sync. `isInside` tells that a transaction is open, and without `names` no statement is
 * sent as a prepared one. Throws `TypeError` for a text or value that cannot be sent; nothing has changed then.
 */
export function encodeFlight(
  parts: readonly FlightPart[],
  statements: PreparedStatements,
  { names = true, isInside }: { names?: boolean; isInside: boolean },
): SentFlight {
  // First, since it is the only step that can fail for a single value.
  const encoded = parts.map((part) =>
    "text" in part && part.isStatic ? staticPart(part) : encodePart(part)
  );
  writer.clear();
  try {
    const unused = statements.beginFlight({ isInside, names });
    for (const name of unused) writeClose("S", name);
    const namer = names ? statements : undefined;
    const sent = encoded.map((part) => writePart(part, namer));
    writeSync();
    const last = parts.at(-1);
    const syncAt = last !== undefined && "text" in last && last.syncsBefore
      ? parts.length - 1
      : undefined;
    return {
      bytes: writer.take(),
      parts: sent,
      syncAt,
      closes: unused.length,
      number: statements.flight,
    };
  } catch (error) {
    // Statements count as prepared that will not be.
    statements.forgetAll();
    throw error;
  }
}

/**
 * Refuses the data that a COPY FROM STDIN asks for. The server then answers with an ERROR. It has ignored the flight's Sync,
 * because it was waiting for the data. (It ends the connection if another part came in place of the data.)
 */
export function encodeCopyFail(reason: string): Uint8Array {
  writer.clear();
  const at = writer.begin("f");
  writer.cstring(reason);
  writer.end(at);
  writeSync();
  return writer.take();
}

function writePart(
  part: FlightPart | StaticPart,
  statements: PreparedStatements | undefined,
): SentPart {
  if (part instanceof StaticPart) return part.write(statements);
  if ("close" in part) {
    writeClose("P", part.close.name);
    return CLOSE;
  }
  if ("fetch" in part) {
    writeDescribe(part.fetch);
    writeExecute(part.fetch);
    return { kind: "fetch", prepared: undefined, isNew: false, rows: part };
  }
  const { text, values, portal = WHOLE, flushesBefore, syncsBefore } = part;
  if (flushesBefore) writeFlush();
  if (syncsBefore) writeSync();
  const { prepared, isNew = false } = statements?.use(part) ?? {};
  if (prepared === undefined) writeParse("", text);
  else if (isNew) writeNamed(prepared.name, text);
  writeBind(portal.name, prepared?.name ?? "", values as (string | null)[]);
  if (prepared?.columns === undefined) writeDescribe(portal);
  writeExecute(portal);
  return { kind: "statement", prepared, isNew, rows: part };
}

const staticParts = new WeakMap<Statement, StaticPart>();

function staticPart(statement: Statement): StaticPart {
  let part = staticParts.get(statement);
  if (part === undefined) staticParts.set(statement, part = new StaticPart(statement));
  return part;
}

/** A statement that never changes: its messages are kept. There is no Describe: its rows are read by position. */
class StaticPart {
  readonly #statement: Statement;
  readonly #values: readonly (string | null)[];
  #unnamed: Uint8Array | undefined;
  /** Bind and Execute of the statement by its name. */
  #named: Uint8Array | undefined;
  #name: string | undefined;

  constructor(statement: Statement) {
    this.#statement = statement;
    this.#values = encodeParameters(statement.values);
  }

  write(statements: PreparedStatements | undefined): SentPart {
    const { text, flushesBefore, syncsBefore } = this.#statement;
    if (flushesBefore) writeFlush();
    if (syncsBefore) writeSync();
    const used = statements?.use(this.#statement);
    if (used === undefined) {
      this.#unnamed ??= this.#copyOf(() => {
        writeParse("", text);
        this.#writeRun("");
      });
      writer.bytes(this.#unnamed);
      return UNNAMED_STATIC;
    }
    const { prepared, isNew } = used;
    if (isNew) writeNamed(prepared.name, text);
    if (this.#name !== prepared.name) this.#named = undefined;
    this.#name = prepared.name;
    this.#named ??= this.#copyOf(() => this.#writeRun(prepared.name));
    writer.bytes(this.#named);
    return { kind: "static", prepared, isNew, rows: NO_OPTIONS };
  }

  #writeRun(name: string): void {
    writeBind("", name, this.#values);
    writeExecute(WHOLE);
  }

  /** The bytes that `write` writes. They are taken back. */
  #copyOf(write: () => void): Uint8Array {
    const start = writer.length;
    write();
    return writer.cutFrom(start);
  }
}

/** Closing a statement that does not exist is no error; parsing one that exists is. */
function writeNamed(name: string, text: string): void {
  writeClose("S", name);
  writeParse(name, text);
}

function writeParse(name: string, text: string): void {
  const at = writer.begin("P");
  writer.cstring(name);
  writer.cstring(text);
  // The server infers the types of all parameters.
  writer.int16(0);
  writer.end(at);
}

function writeBind(portal: string, name: string, values: readonly (string | null)[]): void {
  const at = writer.begin("B");
  writer.cstring(portal);
  writer.cstring(name);
  // No formats: all parameters are text.
  writer.int16(0);
  writer.int16(values.length);
  for (const value of values) writer.value(value);
  // No formats: all columns are text.
  writer.int16(0);
  writer.end(at);
}

function writeDescribe({ name }: Portal): void {
  const at = writer.begin("D");
  writer.byte(0x50);
  writer.cstring(name);
  writer.end(at);
}

function writeExecute({ name, maxRows }: Portal): void {
  const at = writer.begin("E");
  writer.cstring(name);
  writer.int32(maxRows);
  writer.end(at);
}

function writeClose(kind: "S" | "P", name: string): void {
  const at = writer.begin("C");
  writer.byte(kind.charCodeAt(0));
  writer.cstring(name);
  writer.end(at);
}

function writeFlush(): void {
  writer.end(writer.begin("H"));
}

function writeSync(): void {
  writer.end(writer.begin("S"));
}
