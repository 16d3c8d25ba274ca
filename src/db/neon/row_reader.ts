/** From the messages RowDescription and DataRow to rows, which are objects. */
import type { Column, RowOptions } from "../driver/driver.ts";
import type { Parse } from "../driver/type_parsers.ts";
import { int32At, protocolError } from "./message_framing.ts";
import { readText, readWhole } from "./text_reader.ts";

export type Row = Record<string, unknown>;

/** Type of the table, number of its column, type, its size, its modifier, format. */
const FIELD_BYTES = 18;

/** Reads a RowDescription. Throws an `Error` if it is not one. */
export function readColumns(bytes: Uint8Array, start: number, end: number): Column[] {
  const columns: Column[] = [];
  const count = int16At(bytes, start, end);
  let at = start + 2;
  for (let index = 0; index < count; index++) {
    const zero = bytes.indexOf(0, at);
    if (zero === -1 || zero + 1 + FIELD_BYTES > end) {
      throw protocolError("it cut the columns of a result");
    }
    columns.push({ name: readText(bytes, at, zero), typeId: int32At(bytes, zero + 7) >>> 0 });
    at = zero + 1 + FIELD_BYTES;
  }
  if (at !== end) throw protocolError("it sent more than the columns of a result");
  return columns;
}

/** Reads the rows of a result, or of one result after the other. */
export class RowReader {
  #error: Error | undefined;
  readonly #columns: readonly Column[];
  readonly #parsers: readonly Parse[];
  readonly #isArray: boolean;

  constructor(
    columns: readonly Column[],
    parserOf: (typeId: number) => Parse,
    { rowMode, parsers = {} }: RowOptions,
  ) {
    this.#columns = columns;
    this.#parsers = columns.map(({ typeId }) => parsers[typeId] ?? parserOf(typeId));
    this.#isArray = rowMode === "array";
  }

  get columns(): readonly Column[] {
    return this.#columns;
  }

  /** Why a value could not be read, the first time since the last call. */
  takeError(): Error | undefined {
    const error = this.#error;
    this.#error = undefined;
    return error;
  }

  /** Reads a DataRow. Throws an `Error` if it is not one, or if it has other columns. */
  read(bytes: Uint8Array, start: number, end: number): Row | unknown[] {
    const columns = this.#columns;
    const values: unknown[] | undefined = this.#isArray ? [] : undefined;
    if (int16At(bytes, start, end) !== columns.length) {
      throw protocolError("it sent a row whose values are not the columns of its result");
    }
    const row: Row = {};
    const whole = readWhole(bytes, start, end);
    let at = start + 2;
    for (let index = 0; index < columns.length; index++) {
      const size = valueSize(bytes, at, end);
      at += 4;
      let value: unknown = null;
      if (size >= 0) {
        value = whole === undefined
          ? this.#readAlone(index, bytes, at, at + size)
          : this.#parse(index, whole.slice(at - start, at - start + size));
        at += size;
      }
      if (values === undefined) setColumn(row, columns[index]!.name, value);
      else values.push(value);
    }
    if (at !== end) throw protocolError("it sent more than the values of a row");
    return values ?? row;
  }

  /** Reads a row that came as texts, in the order of the columns. */
  readTexts(texts: readonly (string | null)[]): Row | unknown[] {
    const values = texts.map((text, index) => text === null ? null : this.#parse(index, text));
    if (this.#isArray) return values;
    const row: Row = {};
    values.forEach((value, index) => setColumn(row, this.#columns[index]!.name, value));
    return row;
  }

  /** Decoding fails too if the text is longer than a string may be. */
  #readAlone(index: number, bytes: Uint8Array, start: number, end: number): unknown {
    let text: string;
    try {
      text = readText(bytes, start, end);
    } catch (cause) {
      return this.#fail(index, cause);
    }
    return this.#parse(index, text);
  }

  #parse(index: number, text: string): unknown {
    try {
      return this.#parsers[index]!(text);
    } catch (cause) {
      return this.#fail(index, cause);
    }
  }

  #fail(index: number, cause: unknown): undefined {
    const { name } = this.#columns[index]!;
    this.#error ??= new TypeError(
      `Cannot read the column ${JSON.stringify(name)} as its parser failed; see the cause`,
      { cause },
    );
  }
}

/** Reads a DataRow whose columns were not asked for: texts by position. */
export function readTexts(bytes: Uint8Array, start: number, end: number): Row {
  const row: Row = {};
  const count = int16At(bytes, start, end);
  const whole = readWhole(bytes, start, end);
  let at = start + 2;
  for (let index = 0; index < count; index++) {
    const size = valueSize(bytes, at, end);
    at += 4;
    row[index] = size < 0
      ? null
      : whole?.slice(at - start, at - start + size) ?? readText(bytes, at, at + size);
    if (size > 0) at += size;
  }
  if (at !== end) throw protocolError("it sent more than the values of a row");
  return row;
}

/** -1 for NULL. */
function valueSize(bytes: Uint8Array, at: number, end: number): number {
  const size = at + 4 > end ? -2 : int32At(bytes, at);
  if (size < -1 || at + 4 + size > end) throw protocolError("it cut the values of a row");
  return size;
}

function int16At(bytes: Uint8Array, at: number, end: number): number {
  if (at + 2 > end) throw protocolError("it sent a message that is too short");
  return bytes[at]! << 8 | bytes[at + 1]!;
}

/** Assigning to `__proto__` would set the row's prototype where the runtime has that accessor, as Workers and Node do. */
function setColumn(row: Row, name: string, value: unknown): void {
  if (name !== "__proto__") row[name] = value;
  else {
    const attributes = { configurable: true, enumerable: true, writable: true };
    Object.defineProperty(row, name, { value, ...attributes });
  }
}
