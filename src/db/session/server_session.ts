/**
 * What the server's session behind a direct connection is known to keep from one transaction to the next: the timeouts and
 * formats that were set in it, and the server's incarnation. What is known is not sent, and not asked, again.
 *
 * The knowledge lasts only while every transaction on the connection ends by our COMMIT and none may have changed a
 * setting. A function or trigger can change one unseen, so that it also ends after a second.
 */
import type { Connection, FlightPart, Result, Statement } from "../driver/driver.ts";
import type { Lease } from "../pool/lease.ts";
import type { SettingsScope } from "./begin.ts";
import type { Timeouts, TransactionSettings } from "./transaction_settings.ts";

/** How long a setting that a function has changed in the session can last, beyond the transaction that called it. */
const KNOWN_FOR_MS = 1_000;

/** See `xid.ts`. A connection does not outlive its server's incarnation. */
interface Knowledge {
  readonly timeouts: Timeouts | undefined;
  readonly incarnation: string | undefined;
  /**
   * `Lease.number` of the transaction that knew it last. A lease after it may have set anything, or rolled back what the
   * transaction of that lease had set.
   */
  readonly lease: number;
  readonly untilMs: number;
}

/** All transactions on a connection, of whatever database, share what is known of it. */
const known = new WeakMap<Connection, Knowledge>();

/** Connections in whose sessions transactions have set their timeouts. */
const withSettings = new WeakSet<Connection>();

/** Brings the session's settings back to those of its login. Knows no role: SET ROLE stays. */
const RESET: Statement = { text: "reset all", values: [], isStatic: true, isInternal: true };

/**
 * For code that runs statements outside our transactions: what to run first, in a flight of its own, so that they find the
 * session as on a new connection. `undefined` if nothing is set in it.
 */
export function takeReset(connection: Connection): Statement | undefined {
  return withSettings.delete(connection) ? RESET : undefined;
}

/** The server's session during one transaction. */
export class ServerSession {
  /** `undefined` where the session may be another one in each transaction. */
  readonly #connection: Connection | undefined;
  #knowledge: Knowledge | undefined;
  /** How this transaction sets its timeouts and formats. */
  readonly scope: SettingsScope;
  #mayHaveChanged = false;

  /** For a transaction that begins now. `defaults` are the timeouts that most transactions have. */
  constructor(
    { server: connection, number }: Lease,
    settings: TransactionSettings,
    { defaults, nowMs }: { readonly defaults: Timeouts; readonly nowMs: number },
  ) {
    if (connection.isDirect !== true) {
      this.scope = "transaction";
      return;
    }
    let before = known.get(connection);
    // Transactions that share the connection have one number, and none of them changes a setting.
    if (before === undefined || before.lease < number - 1 || before.untilMs <= nowMs) {
      before = undefined;
    }
    this.#connection = connection;
    const { timeouts, incarnation, untilMs = nowMs + KNOWN_FOR_MS } = before ?? {};
    this.#knowledge = { timeouts, incarnation, lease: number, untilMs };
    if (timeouts !== undefined && haveSameTimeouts(settings, timeouts)) this.scope = "set";
    else if (!haveSameTimeouts(settings, defaults)) this.scope = "transaction";
    else {
      this.scope = "session";
      withSettings.add(connection);
      this.#knowledge = { timeouts: defaults, incarnation, lease: number, untilMs };
    }
  }

  /** The server's incarnation, if it is known. */
  get incarnation(): string | undefined {
    return this.#knowledge?.incarnation;
  }

  /** Takes a statement of the caller's; `result` if it ran without an error. */
  note(part: FlightPart, result: Result | undefined): void {
    if (this.#connection === undefined) return;
    this.#mayHaveChanged ||= mayChangeSettings(part, result);
  }

  /** The transaction has read the server's incarnation. */
  noteIncarnation(incarnation: string): void {
    if (this.#knowledge !== undefined) this.#knowledge = { ...this.#knowledge, incarnation };
  }

  /** The server has answered our COMMIT. */
  noteCommit(): void {
    if (this.#connection === undefined || this.#mayHaveChanged) return;
    known.set(this.#connection, this.#knowledge!);
  }
}

function haveSameTimeouts(one: Timeouts, other: Timeouts): boolean {
  return one.statementTimeoutMs === other.statementTimeoutMs &&
    one.lockTimeoutMs === other.lockTimeoutMs &&
    one.idleTransactionTimeoutMs === other.idleTransactionTimeoutMs &&
    one.transactionTimeoutMs === other.transactionTimeoutMs;
}

/** Tags of statements that change no setting, other than by a function that they call. `""` is that of a suspended portal. */
const CHANGE_NO_SETTING: ReadonlySet<string> = new Set(
  "SELECT INSERT UPDATE DELETE MERGE FETCH MOVE CLOSE SAVEPOINT RELEASE ROLLBACK NOTIFY LOCK"
    .split(" ").concat(""),
);

/** The function that sets, the view whose UPDATE does, and a name in which either could be hidden. */
const NAMES_SETTING = /set_config|pg_settings|\bu&"/i;

function mayChangeSettings(part: FlightPart, result: Result | undefined): boolean {
  if (result !== undefined && !CHANGE_NO_SETTING.has(result.command)) return true;
  return "text" in part && NAMES_SETTING.test(part.text);
}
