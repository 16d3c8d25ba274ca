/**
 * Which statements a connection sends by a name. The server keeps a named statement parsed, and plans it once or a few
 * times, until the connection ends: https://www.postgresql.org/docs/current/sql-prepare.html
 *
 * - A text gets a name when it is sent for the second time; the layer's own static statements get one at once.
 * - A name belongs to one text of one process, and is never used for another one. Behind a pooler that keeps no
 *   prepared statements apart, a shared name would run another client's statement without an error.
 * - A statement keeps the types that its parameters had when it was parsed. So it also belongs to one search path.
 * - A connection keeps the statements that it has used last, and closes the others along with its next flight.
 */
import type { Column, Statement } from "../driver/driver.ts";
import { setsSearchPath } from "../driver/search_path.ts";
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

const MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec";

/**
 * A constant of a date or time. The server reads it once, when it parses the text: in a prepared statement 'today' would
 * stay the day of the first use, and '2026-11-28 12:00' would keep the time zone of that time.
 * https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-SPECIAL-VALUES
 */
const HAS_TIME_CONSTANT = new RegExp(
  String.raw`'\s*(?:now|today|tomorrow|yesterday|\d+[-/.]\d|(?:\d{6}|\d{8})(?!\d))|'[^']*\d:\d\d|` +
    String.raw`\d[ -]?(?:${MONTHS})|\b(?:${MONTHS})[a-z]*[ .-]+\d|` +
    String.raw`\btimestamp(?:tz|\s+with\s+time\s+zone)?\s*'`,
  "i",
);

/** A text that was sent before. */
interface SeenText {
  /** `undefined` if it must not be named. */
  name: string | undefined;
  readonly setsPath: ReturnType<typeof setsSearchPath>;
}

/** By the statement's key: see `PreparedStatement`. */
const seenTexts = new Map<string, SeenText>();

/** Notes that a text is sent. The name is that of a text that is sent for the second time, or is static. */
function noteText(key: string, { text, isStatic, isInternal }: Statement): SeenText {
  let seen = seenTexts.get(key);
  const isNew = seen === undefined;
  if (seen === undefined) {
    // The layer says what it sets: `Statement.searchPath`.
    const setsPath = isInternal ? undefined : setsSearchPath(text);
    if (text.length > TEXT_LENGTH_MAX) return { name: undefined, setsPath };
    const isNameable = setsPath === undefined && HAS_FIXED_COLUMNS.test(text) &&
      !HAS_TIME_CONSTANT.test(text);
    seen = { name: isNameable ? newName() : undefined, setsPath };
  } else seenTexts.delete(key);
  if (isStatic) seen.name ??= newName();
  // At the end of the map's order, so that the first one is the one that was not used for the longest time.
  seenTexts.set(key, seen);
  if (seenTexts.size > TEXTS_MAX) seenTexts.delete(seenTexts.keys().next().value!);
  return isNew && !isStatic ? { ...seen, name: undefined } : seen;
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
  /** The text, behind the search path if the transaction has set one. */
  readonly key: string;
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

  constructor(key: string, name: string) {
    this.key = key;
    this.name = name;
  }
}

/** The prepared statements of one connection. */
export class PreparedStatements {
  readonly #policy: PreparePolicy;
  /** By key. A statement counts as prepared once its Parse is written. */
  readonly #statements = new Map<string, PreparedStatement>();
  /** Names that are to be closed. */
  #unused = new Set<string>();
  #isDirect: boolean | undefined;
  #flight = 0;
  /** That of the transaction; `undefined` where it is not known, so that nothing of the caller's is named. */
  #path: string | undefined = "";
  /** Whether the session's own search path was set. */
  #isPathSet = false;

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
    if (this.#policy.isOff) return undefined;
    const { text, isStatic, prepare, searchPath } = statement;
    if (searchPath !== undefined) this.#path = searchPath;
    const path = isStatic ? "" : this.#path;
    const key = path === undefined || path === "" ? text : path + text;
    const names = this.#isDirect === true || this.#policy.trustsPooler;
    // A text that is sent before the connection is known to be direct counts as seen.
    if (!names && this.#isDirect === false) return undefined;
    const isNameable = names && path !== undefined && prepare !== false;
    const flight = this.#flight;
    const known = isNameable ? this.#statements.get(key) : undefined;
    if (known !== undefined) {
      known.usedIn = flight;
      const isNew = !known.isParsed && known.flight !== flight;
      if (isNew) known.flight = flight;
      return { prepared: known, isNew };
    }
    const { name, setsPath } = noteText(key, statement);
    if (setsPath !== undefined) this.#loseTrackOfPath(setsPath);
    if (!isNameable || name === undefined) return undefined;
    const prepared = new PreparedStatement(key, name);
    prepared.flight = prepared.usedIn = flight;
    if (this.#statements.size >= STATEMENTS_MAX) this.forget(this.#oldest);
    this.#statements.set(key, prepared);
    // Its Close is sent with its Parse in any case.
    this.#unused.delete(name);
    return { prepared, isNew: true };
  }

  #loseTrackOfPath(until: "transaction" | "session"): void {
    this.#path = undefined;
    this.#isPathSet ||= until === "session";
  }

  /** The one that was not used for the longest time. Looked for only when one is to go: to keep an order costs each use. */
  get #oldest(): PreparedStatement {
    const [first, ...others] = this.#statements.values();
    return others.reduce((oldest, one) => one.usedIn < oldest.usedIn ? one : oldest, first!);
  }

  /**
   * A flight begins, in an open transaction or not: returns the names of statements that it is to close. They count as closed
   * from now on. Without `names`, nothing is learned of what it sends.
   */
  beginFlight(
    { isInside, names }: { isInside: boolean; names: boolean },
  ): readonly string[] {
    this.#flight++;
    if (!names) this.#path = undefined;
    else if (!isInside) this.#path = this.#isPathSet ? undefined : "";
    if (this.#unused.size === 0) return [];
    const unused = [...this.#unused];
    this.#unused.clear();
    return unused;
  }

  /** Counts the statement as not prepared: its next use parses it anew, and the next flight closes it. */
  forget(statement: PreparedStatement): void {
    const { key, name } = statement;
    if (this.#statements.get(key) !== statement) return;
    this.#statements.delete(key);
    this.#unused.add(name);
  }

  forgetAll(): void {
    for (const statement of this.#statements.values()) this.forget(statement);
  }

  /**
   * Reads an error of a named statement: forgets what the server does not have any more, or not as it was. Returns whether
   * the statement might have run if it had been parsed anew. `wasParsed`: in this flight; `isBound`: the server had answered
   * Bind, for which it reads the parameters' values and makes the plan. What fails later does not lie in the preparing.
   */
  noteError(
    { sqlState }: ServerError,
    statement: PreparedStatement,
    { wasParsed, isBound }: { wasParsed: boolean; isBound: boolean },
  ): boolean {
    if (isBound) return false;
    if (sqlState === "26000" || sqlState === "42P05") {
      this.forgetAll();
      if (this.#isDirect !== true) this.#policy.distrustPooler();
      return true;
    }
    // 0A000: its result has other types than before. 22 and 42: so may its parameters. 42501: a right is missing.
    if (wasParsed || !/^(?:0A|22|42(?!501))/.test(sqlState)) return false;
    this.forget(statement);
    return true;
  }
}
