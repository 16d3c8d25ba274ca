/** The server's answer to a flight: from its messages to results, in one pass. */
import type { Column, FlightOptions, Notice, Result, RowOptions } from "../driver/driver.ts";
import { parserOf as standardParserOf } from "../driver/result_types.ts";
import type { Parse } from "../driver/type_parsers.ts";
import type { ServerError } from "../errors.ts";
import type { SentFlight, SentPart } from "./flight_codec.ts";
import { protocolError } from "./message_framing.ts";
import type { PreparedStatement, PreparedStatements } from "./prepared_statements.ts";
import { readColumns, readTexts, type Row, RowReader } from "./row_reader.ts";
import { readShortText } from "./text_reader.ts";

const NO_COLUMNS: readonly Column[] = [];

/** How the caller of the flight wants its answer. */
export interface AnswerOptions {
  readonly parserOf: (oid: number) => Parse;
  readonly onNotice?: FlightOptions["onNotice"];
}

/** The connection that the answer comes on. */
export interface AnsweringConnection {
  readonly statements: PreparedStatements;
  /** Refuses the data that a COPY FROM STDIN asks for. */
  readonly refuseCopy: () => void;
}

export class AnswerReader {
  readonly results: Result[] = [];
  readonly #sent: SentFlight;
  readonly #options: AnswerOptions;
  readonly #connection: AnsweringConnection;
  #error: ServerError | undefined;
  #hasBegun = false;
  #isStale = false;
  /** How many parts are answered, or were skipped behind an error. */
  #at = 0;
  /** Whether the flight's first Sync is answered. */
  #isPastSync = false;
  /** Whether the server skips everything up to the next Sync. */
  #isSkipping = false;
  /** Whether the current part was parsed in this flight. */
  #wasParsed = false;
  #isBound = false;
  /** Closed statements whose answers are still to come. */
  #closes: number;
  #rows: (Row | unknown[])[] = [];
  #reader: RowReader | undefined;
  #decodeError: Error | undefined;
  #notice: Notice | undefined;

  constructor(sent: SentFlight, options: AnswerOptions, connection: AnsweringConnection) {
    this.#sent = sent;
    this.#options = options;
    this.#connection = connection;
    this.#closes = sent.closes;
  }

  /** The server's first ERROR, or the error of the first result whose rows could not be read. */
  get error(): Error | undefined {
    return this.#error ??
      this.results.find(({ decodeError }) => decodeError !== undefined)?.decodeError;
  }

  /** Whether the server has started the flight. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Whether the error might not have come if all statements had been parsed anew. */
  get isStale(): boolean {
    return this.#isStale;
  }

  /** The part that the next message is about; `undefined` once all are answered. */
  get #part(): SentPart | undefined {
    return this.#sent.parts[this.#at];
  }

  /** Reads one message. Throws an `Error` for one that does not belong here. */
  read(type: number, bytes: Uint8Array, start: number, end: number): void {
    this.#hasBegun = true;
    const part = this.#part;
    if (part === undefined || this.#isSkipping) throw unexpected(type);
    switch (type) {
      case 0x31: // ParseComplete
        if (part.prepared !== undefined) part.prepared.isParsed = this.#wasParsed = true;
        return;
      case 0x32: // BindComplete
        this.#isBound = true;
        return;
      case 0x33: // CloseComplete
        return this.#closeComplete(part);
      case 0x54: // RowDescription
        return this.#describe(part, readColumns(bytes, start, end));
      case 0x6e: // NoData
        return this.#describe(part, []);
      case 0x44: // DataRow
        return this.#dataRow(part, bytes, start, end);
      case 0x43: // CommandComplete
        return this.#commandComplete(readShortText(bytes, start, end - 1));
      case 0x49: // EmptyQueryResponse
        return this.#complete("", 0);
      case 0x73: // PortalSuspended
        return this.#complete("", this.#rows.length, { isSuspended: true });
      case 0x47: // CopyInResponse
        return this.#connection.refuseCopy();
      case 0x48: // CopyOutResponse
      case 0x63: // CopyDone
        return;
      case 0x64: // CopyData
        this.#decodeError ??= new TypeError(
          "Cannot return the data of COPY TO STDOUT as the driver reads only rows; use SELECT",
        );
        return;
      default:
        throw unexpected(type);
    }
  }

  readError(error: ServerError): void {
    this.#isSkipping = true;
    const { prepared, isNew = false } = this.#part ?? {};
    // Another flight may have parsed it before, and this one has closed it first.
    if (isNew && !this.#wasParsed) prepared!.isParsed = false;
    if (this.#error !== undefined) return;
    this.#error = error;
    if (prepared === undefined || error.severity !== "ERROR") return;
    this.#isStale = this.#connection.statements.noteError(error, prepared, {
      wasParsed: isNew,
      isBound: this.#isBound,
    });
  }

  readNotice(notice: Notice): void {
    this.#notice = notice;
    this.#options.onNotice?.(notice);
  }

  /**
   * The server has answered a Sync. Returns whether it was the flight's last one. Throws an `Error` if answers are missing.
   */
  endSync(): boolean {
    const { parts, syncAt } = this.#sent;
    const isLast = syncAt === undefined || this.#isPastSync;
    const end = isLast ? parts.length : syncAt;
    if (!this.#isSkipping && this.#at < end) {
      throw protocolError(`it answered ${this.#at} of ${end} statements`);
    }
    this.#at = end;
    this.#isSkipping = false;
    this.#isPastSync = true;
    if (isLast) this.#forgetUnparsed();
    return isLast;
  }

  #forgetUnparsed(): void {
    const { parts, number } = this.#sent;
    // A Parse that was written and not answered has not happened. A later flight may have written another one.
    for (const { prepared, isNew } of parts) {
      const isLast = isNew && prepared!.flight === number;
      if (isLast && !prepared!.isParsed) this.#connection.statements.forget(prepared!);
    }
  }

  #closeComplete({ kind, isNew }: SentPart): void {
    if (this.#closes > 0) this.#closes--;
    else if (kind === "close") this.#complete("", 0);
    else if (!isNew) throw unexpected(0x33);
  }

  /** Of the current part. */
  get #columns(): readonly Column[] {
    const { kind, prepared } = this.#part!;
    return this.#reader?.columns ?? (kind === "static" ? undefined : prepared?.columns) ??
      NO_COLUMNS;
  }

  #describe({ kind, prepared, rows }: SentPart, columns: readonly Column[]): void {
    if (kind === "close" || kind === "static" || this.#reader !== undefined) throw unexpected(0x54);
    if (prepared !== undefined) prepared.columns = columns;
    this.#reader = new RowReader(columns, this.#options.parserOf, rows);
  }

  /** For the rows of a prepared statement, which were described before. Most are read in the same way each time. */
  #readerOf(prepared: PreparedStatement, { rowMode, parsers }: RowOptions): RowReader {
    const { parserOf } = this.#options;
    const columns = prepared.columns!;
    if (rowMode !== undefined || parsers !== undefined || parserOf !== standardParserOf) {
      return new RowReader(columns, parserOf, { rowMode, parsers });
    }
    if (prepared.reader?.columns !== columns) {
      prepared.reader = new RowReader(columns, parserOf, {});
    }
    // Of a result that the server has broken off.
    prepared.reader.takeError();
    return prepared.reader;
  }

  #dataRow(
    { kind, prepared, rows }: SentPart,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (kind === "static") {
      this.#rows.push(readTexts(bytes, start, end));
      return;
    }
    if (prepared?.columns !== undefined) this.#reader ??= this.#readerOf(prepared, rows);
    if (this.#reader === undefined) throw unexpected(0x44);
    this.#rows.push(this.#reader.read(bytes, start, end));
  }

  /** A command tag is one or more words, and then numbers: https://www.postgresql.org/docs/current/protocol-message-formats.html */
  #commandComplete(tag: string): void {
    const space = tag.indexOf(" ");
    if (space === -1) return this.#complete(tag, 0);
    const count = Number(tag.slice(tag.lastIndexOf(" ") + 1));
    if (tag === "DEALLOCATE ALL" || tag === "DISCARD ALL") this.#connection.statements.forgetAll();
    this.#complete(tag.slice(0, space), Number.isInteger(count) ? count : 0);
  }

  #complete(command: string, rowCount: number, more?: { isSuspended: true }): void {
    const decodeError = this.#reader?.takeError();
    // Behind an error it has ended the failed transaction.
    if (this.#error === undefined) {
      const result = { rows: this.#rows as Row[], columns: this.#columns, rowCount, command };
      const remarks = this.#remarks(this.#decodeError ?? decodeError);
      const isPlain = more === undefined && remarks === undefined;
      this.results.push(isPlain ? result : { ...result, ...more, ...remarks });
    }
    this.#at++;
    this.#wasParsed = this.#isBound = false;
    this.#rows = [];
    this.#reader = undefined;
    this.#decodeError = undefined;
    this.#notice = undefined;
  }

  /** What hardly any result has. */
  #remarks(decodeError: Error | undefined): Pick<Result, "notice" | "decodeError"> | undefined {
    const notice = this.#notice;
    if (notice === undefined && decodeError === undefined) return undefined;
    return {
      ...(notice === undefined ? {} : { notice }),
      ...(decodeError === undefined ? {} : { decodeError }),
    };
  }
}

function unexpected(type: number): Error {
  return protocolError(`it sent an unexpected message of the type ${type}`);
}
