/**
 * Which statements a connection sends by a name. The server keeps a named statement parsed, and plans it once or a few
 * times, until the connection ends: https://www.postgresql.org/docs/current/sql-prepare.html
 *
 * - A text gets a name when it is sent for the second time; the layer's own static statements get one at once.
 * - A name belongs to one text of one process, and is never used for another one. Behind a pooler that keeps no
 *   prepared statements apart, a shared name would run another client's statement without an error.
 * - A connection keeps the statements that it has used last, and closes the others along with its next flight.
 */
import type { Column, Statement } from "../driver/driver.ts";
import { SPACE } from "../driver/sql_text.ts";
import type { ServerError } from "../errors.ts";
import { isNeonHost } from "./neon_host.ts";
import type { RowReader } from "./row_reader.ts";

/** When statements are named: see `NeonDriverOptions.prepare`. */
export const PREPARE_MODES = ["auto", "on", "off"] as const;
/** When statements are sent as prepared ones: see `NeonDriverOptions.prepare`. */
export type PrepareMode = typeof PREPARE_MODES[number];

/**
 * Prepared statements of one connection. PostgreSQL 18 keeps 18 kB for each that reads or writes a row by its key, and 75 kB
 * for a join with 40 columns: with 50 connections, 90 to 375 MB at this bound.
 */
const STATEMENTS_MAX = 100;

/** Texts that the process remembers, to recognise their second use. */
const TEXTS_MAX = 512;

/** Characters of a text that is worth remembering: longer ones are mostly generated, and used once. */
const TEXT_LENGTH_MAX = 16_384;

/**
 * The columns of these never change while the statement is prepared: the server refuses with 0A000 first. Those of FETCH,
 * EXECUTE, SHOW and CALL may, and naming a command without columns saves little.
 */
const HAS_FIXED_COLUMNS = new RegExp(
  `^(?:${SPACE}|\\()*(?:select|insert|update|delete|merge|with|values|table)\\b`,
  "i",
);

/**
 * A constant of a date or time. The server reads it once, when it parses the text: in a prepared statement 'today' would
 * stay the day of the first use, and '2026-11-28 12:00' would keep the time zone of that time.
 * https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-SPECIAL-VALUES
 */
const HAS_TIME_CONSTANT =
  /'\s*(?:now|today|tomorrow|yesterday|\d+[-\/.]\d)|'[^']*\d:\d\d|\btimestamp(?:tz|\s+with\s+time\s+zone)?\s*'/i;

/** A text that was sent before. */
interface SeenText {
  /** `undefined` if it must not be named. */
  name: string | undefined;
}

const seenTexts = new Map<string, SeenText>();

/** The name of a text that is sent for the second time, or is static. */
function nameOf({ text, isStatic }: Statement): string | undefined {
  let seen = seenTexts.get(text);
  const isNew = seen === undefined;
  if (seen === undefined) {
    if (text.length > TEXT_LENGTH_MAX) return undefined;
    const isNameable = HAS_FIXED_COLUMNS.test(text) &&
      !HAS_TIME_CONSTANT.test(text);
    seen = { name: isNameable ? newName() : undefined };
  } else seenTexts.delete(text);
  if (isStatic) seen.name ??= newName();
  // At the end of the map's order, so that the first one is the one that was not used for the longest time.
  seenTexts.set(text, seen);
  if (seenTexts.size > TEXTS_MAX) seenTexts.delete(seenTexts.keys().next().value!);
  return isNew && !isStatic ? undefined : seen.name;
}

let tag = "";
let names = 0;

function newName(): string {
  // Not when the module is loaded: Workers allow random values in a request only.
  if (tag === "") {
    tag = crypto.getRandomValues(new BigUint64Array(1))[0]!.toString(36);
  }
  return `edge_${tag}_${++names}`;
}

/** Whether the connections of one driver name statements. */
export class PreparePolicy {
  readonly #mode: PrepareMode;
  /** Whether connections through a pooler name statements too. */
  #trustsPooler: boolean;

  constructor({ mode, host }: { mode: PrepareMode; host: string }) {
    this.#mode = mode;
    // By its documentation Neon's pooler keeps prepared statements: https://neon.com/docs/connect/connection-pooling. Its
    // other hosts give each connection a backend of its own, but the proxy in between may hide the process id.
    this.#trustsPooler = mode === "on" || mode === "auto" && isNeonHost(host);
  }

  get isOff(): boolean {
    return this.#mode === "off";
  }

  /** Whether a connection is to find out if it is direct. */
  get asks(): boolean {
    return this.#mode === "auto";
  }

  get trustsPooler(): boolean {
    return this.#trustsPooler;
  }

  /** A statement was missing, or there twice, on a connection that is not direct. */
  distrustPooler(): void {
    this.#trustsPooler = false;
  }
}

/** A statement that a connection has prepared. */
export class PreparedStatement {
  readonly text: string;
  readonly name: string;
  /** Whether the server has answered its Parse. */
  isParsed = false;
  /** The flight in which its Parse was written last: see `PreparedStatements.use`. */
  flight = 0;
  /** The flight that has used it last. */
  usedIn = 0;
  /** The columns of its rows, once the server has described them; none for a statement without rows. */
  columns: readonly Column[] | undefined;
  /** Reads its rows by the standard parsers. */
  reader: RowReader | undefined;

  constructor(text: string, name: string) {
    this.text = text;
    this.name = name;
  }
}

/** The prepared statements of one connection. */
export class PreparedStatements {
  readonly #policy: PreparePolicy;
  /** By text. A statement counts as prepared once its Parse is written. */
  readonly #statements = new Map<string, PreparedStatement>();
  /** Names that are to be closed. */
  #unused = new Set<string>();
  #isDirect: boolean | undefined;
  #flight = 0;

  constructor(policy: PreparePolicy) {
    this.#policy = policy;
  }

  /** See `Connection.isDirect`. */
  get isDirect(): boolean | undefined {
    return this.#isDirect;
  }

  /** The number of the newest flight. */
  get flight(): number {
    return this.#flight;
  }

  /** Whether the connection is to ask for the backend's process id. */
  get asks(): boolean {
    return this.#isDirect === undefined && this.#policy.asks;
  }

  /**
   * A connection is direct if the backend has the process id that the login named. A pooler makes one up. Prepared
   * statements then last as long as the connection.
   */
  learn({ isDirect }: { isDirect: boolean }): void {
    this.#isDirect = isDirect;
  }

  /**
   * The prepared statement to send in place of the text; `undefined` if the text is to be sent itself. It is new in each
   * flight until the server has answered a Parse of it: an error in the flights ahead may have skipped theirs.
   */
  use(statement: Statement): { prepared: PreparedStatement; isNew: boolean } | undefined {
    if (this.#policy.isOff || statement.prepare === false) return undefined;
    if (this.#isDirect !== true && !this.#policy.trustsPooler) {
      // A text that is sent before the answer counts as seen.
      if (this.#isDirect === undefined) nameOf(statement);
      return undefined;
    }
    const { text } = statement;
    const flight = this.#flight;
    const known = this.#statements.get(text);
    if (known !== undefined) {
      known.usedIn = flight;
      const isNew = !known.isParsed && known.flight !== flight;
      if (isNew) known.flight = flight;
      return { prepared: known, isNew };
    }
    const name = nameOf(statement);
    if (name === undefined) return undefined;
    const prepared = new PreparedStatement(text, name);
    prepared.flight = prepared.usedIn = flight;
    if (this.#statements.size >= STATEMENTS_MAX) this.forget(this.#oldest);
    this.#statements.set(text, prepared);
    // Its Close is sent with its Parse in any case.
    this.#unused.delete(name);
    return { prepared, isNew: true };
  }

  /** The one that was not used for the longest time. Looked for only when one is to go: to keep an order costs each use. */
  get #oldest(): PreparedStatement {
    const [first, ...others] = this.#statements.values();
    return others.reduce((oldest, one) => one.usedIn < oldest.usedIn ? one : oldest, first!);
  }

  /** A flight begins: returns the names of statements that it is to close. They count as closed from now on. */
  takeUnused(): readonly string[] {
    this.#flight++;
    if (this.#unused.size === 0) return [];
    const names = [...this.#unused];
    this.#unused.clear();
    return names;
  }

  /** Counts the statement as not prepared: its next use parses it anew, and the next flight closes it. */
  forget(statement: PreparedStatement): void {
    const { text, name } = statement;
    if (this.#statements.get(text) !== statement) return;
    this.#statements.delete(text);
    this.#unused.add(name);
  }

  forgetAll(): void {
    for (const statement of this.#statements.values()) this.forget(statement);
  }

  /**
   * Reads an error of a named statement: forgets what the server does not have any more. Returns whether the statement
   * would have run if it had been parsed anew. `wasParsed` tells that it was parsed in this flight.
   */
  noteError(error: ServerError, statement: PreparedStatement, wasParsed: boolean): boolean {
    const { sqlState, where } = error;
    // A function that the statement called has a call stack, and may have failed for statements of its own.
    if (where === undefined && (sqlState === "26000" || sqlState === "42P05")) {
      this.forgetAll();
      if (this.#isDirect !== true) this.#policy.distrustPooler();
      return true;
    }
    if (wasParsed) return false;
    // The types of parameters are those of the time when it was parsed, and a table may have changed since.
    if (/^(?:0A|22|42)/.test(sqlState)) this.forget(statement);
    return where === undefined && sqlState === "0A000" && isPlanChanged(error);
  }
}

/** The message may be translated. The name of the server's function is not. */
function isPlanChanged({ routine, message }: ServerError): boolean {
  return routine === "RevalidateCachedQuery" ||
    message === "cached plan must not change result type";
}
