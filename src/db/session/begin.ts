import type { Statement } from "../driver/driver.ts";
import { encodePart } from "../driver/encoded_part.ts";
import { searchPathOf } from "../driver/search_path.ts";
import { ISOLATION_LEVELS, type TransactionSettings } from "./transaction_settings.ts";

/**
 * The format of values, which a role or database may have set otherwise. Set by a statement, because a pooler may refuse
 * startup parameters, or give out a server connection that was opened without them. Comparing before setting would cost
 * the server more. A session's `locals` come later, and so have the last word.
 *
 * Not here are `TimeZone` and `bytea_output`, as the parsers read every offset and both formats; `client_encoding`, which
 * is in the startup message and which poolers keep; and `lc_monetary`, as money stays text in the format that was chosen.
 */
const VALUE_FORMAT: readonly (readonly [string, string])[] = Object.entries({
  /** Leaves the order of day and month, which counts for texts that are sent. */
  DateStyle: "ISO",
  IntervalStyle: "postgres",
  /** From 1 on, floats have all digits that they need, also in json. */
  extra_float_digits: "1",
  /** If off, the NULL in an array that is sent becomes the text "NULL". */
  array_nulls: "on",
});

/**
 * The same settings for a statement outside a transaction, on a connection that is closed after it. A pooler keeps the
 * server's connection: what is so already is not set.
 */
export const STANDALONE_SETTINGS: Statement = {
  text: "select " + [
    setWarnings({ isLocal: false }),
    ...VALUE_FORMAT.map(([name, value]) =>
      `case when split_part(current_setting('${name}'), ',', 1) <> '${value}' ` +
      `then set_config('${name}', '${value}', false) end`
    ),
  ].join(", "),
  values: [],
  isStatic: true,
  isInternal: true,
};

/**
 * Only a warning tells a COMMIT whose wait for its standby was cancelled from one that is safe. A role can have switched
 * warnings off.
 */
function setWarnings({ isLocal }: { isLocal: boolean }): string {
  return "case when current_setting('client_min_messages') = 'error' " +
    `then set_config('client_min_messages', 'warning', ${isLocal}) end`;
}

/**
 * How long the timeouts and formats that a transaction sets are to last:
 *
 * - `transaction`: always right. A pooler in transaction mode gives the server's session to another client afterwards.
 * - `session`: the next transactions find them set. For a session that is this connection's alone.
 * - `set`: the session has them already, and they are not sent.
 */
export type SettingsScope = "transaction" | "session" | "set";

/** Most transactions use one of a few settings. Each cache is bounded because a timeout can have any value. */
const BEGIN_CACHE_MAX = 64;
type BeginCache = Map<string, readonly Statement[]>;
const withoutLocals: BeginCache = new Map();

/** By `locals` that cannot change: what is sent for them is made and encoded once. */
const byLocals = new WeakMap<TransactionSettings["locals"], BeginCache>();

/**
 * In place of BEGIN where the flight is a whole transaction: up to its Sync, PostgreSQL runs what is outside a transaction
 * block as one. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING
 */
const READ_ONLY: Statement = {
  text: "select set_config('transaction_read_only', 'on', true)",
  values: [],
  isStatic: true,
  isInternal: true,
};

/** The cache's key for `READ_ONLY`. */
const IMPLICIT = "implicit";

/**
 * Whether a shared read needs neither BEGIN nor COMMIT, which cost the server a third of a read by its key: if the session is
 * known to have the timeouts, the formats and the isolation level already.
 */
export function mayOmitBegin(
  { isolation, readOnly }: TransactionSettings,
  scope: SettingsScope,
): boolean {
  return readOnly === true && isolation === ISOLATION_LEVELS[0] && scope === "set";
}

/**
 * The statements that open a transaction; they are sent in front of its first statement. The `locals` end with the
 * transaction in any case.
 */
export function beginStatements(
  settings: TransactionSettings,
  scope: SettingsScope = "transaction",
  { isImplicit = false } = {},
): readonly Statement[] {
  const cache = cacheOf(settings.locals);
  const key = isImplicit ? IMPLICIT : keyOf(settings, scope);
  let statements = cache?.get(key);
  if (statements === undefined) {
    statements = isImplicit
      ? [READ_ONLY, ...makeStatements(settings, scope).slice(1)]
      : makeStatements(settings, scope);
    if (cache !== undefined && cache.size < BEGIN_CACHE_MAX) {
      statements = statements.map((each) => ({ ...each, isStatic: true }));
      cache.set(key, statements);
    }
  }
  return statements;
}

function cacheOf(locals: TransactionSettings["locals"]): BeginCache | undefined {
  const cache = byLocals.get(locals);
  if (cache !== undefined) return cache;
  if (Object.keys(locals).length === 0) return withoutLocals;
  if (!Object.isFrozen(locals)) return undefined;
  const made: BeginCache = new Map();
  byLocals.set(locals, made);
  return made;
}

/** Throws `TypeError` for `locals` that cannot be sent. A frozen object that was sent is not looked at again. */
export function assertLocals(settings: TransactionSettings): void {
  const { locals } = settings;
  if (byLocals.get(locals)?.size || Object.keys(locals).length === 0) return;
  encodePart(setLocals(settings, "transaction"));
}

function makeStatements(
  settings: TransactionSettings,
  scope: SettingsScope,
): readonly Statement[] {
  const names = Object.keys(settings.locals);
  if (scope === "set" && names.length === 0) return [begin(settings)];
  // A value of its own for transaction_timeout is set behind the locals.
  const sets = names.some((name) => name.toLowerCase() === "transaction_timeout");
  const own = scope === "set" && sets ? "transaction" : scope;
  const statement = encodePart(setLocals(settings, own)) as Statement;
  const searchPath = searchPathOf(settings.locals);
  return [begin(settings), searchPath === undefined ? statement : { ...statement, searchPath }];
}

function keyOf(settings: TransactionSettings, scope: SettingsScope): string {
  const { isolation, readOnly, deferrable } = settings;
  const modes = `${scope} ${isolation} ${readOnly} ${deferrable}`;
  if (scope === "set") return modes;
  const { statementTimeoutMs, lockTimeoutMs, idleTransactionTimeoutMs, transactionTimeoutMs } =
    settings;
  return `${modes} ${statementTimeoutMs} ${lockTimeoutMs} ${idleTransactionTimeoutMs} ` +
    transactionTimeoutMs;
}

function begin({ isolation, readOnly, deferrable }: TransactionSettings): Statement {
  const modes = [`isolation level ${isolation}`];
  if (readOnly !== undefined) modes.push(readOnly ? "read only" : "read write");
  if (deferrable) modes.push("deferrable");
  return {
    text: `begin ${modes.join(", ")}`,
    values: [],
    isStatic: true,
    isInternal: true,
    modes: { isolation, readOnly, deferrable },
  };
}

/** The server would round 0.4 to no limit. */
const inMs = (timeMs: number) => `${Math.ceil(timeMs)}ms`;

function setLocals(settings: TransactionSettings, scope: SettingsScope): Statement {
  const local = scope === "transaction";
  const constants: string[] = [];
  const values: string[] = [];
  const call = (name: string, value: string, isLocal: boolean) => {
    values.push(name, value);
    return `set_config($${values.length - 1}, $${values.length}, ${isLocal})`;
  };
  const timeouts: string[] = [];
  if (scope !== "set") {
    for (const [name, value] of VALUE_FORMAT) {
      constants.push(`set_config('${name}', '${value}', ${local})`);
    }
    // A read-only transaction loses nothing with a warning; those that find the session set may write.
    if (!local) {
      constants.push("set_config('default_transaction_isolation', 'read committed', false)");
    }
    if (!(local && settings.readOnly)) constants.push(setWarnings({ isLocal: local }));
    timeouts.push(
      call("statement_timeout", inMs(settings.statementTimeoutMs), local),
      call("lock_timeout", inMs(settings.lockTimeoutMs), local),
      call("idle_in_transaction_session_timeout", inMs(settings.idleTransactionTimeoutMs), local),
    );
  }
  const locals = Object.entries(settings.locals).map(([name, value]) => call(name, value, true));
  if (scope !== "set") {
    const last = call("transaction_timeout", inMs(settings.transactionTimeoutMs), local);
    // Older servers than PostgreSQL 17 do not know `transaction_timeout` and would refuse to set it. Where the role or the
    // session has one, its timer runs since BEGIN, and only 0 stops it: a new value alone does not set it anew
    // (`assign_transaction_timeout` in PostgreSQL).
    locals.push(
      "case when current_setting('transaction_timeout', true) is not null " +
        `then set_config('transaction_timeout', '0', ${local}) || ${last} end`,
    );
  }
  // One short column in place of one for each setting: each has to be described and read, over HTTP as JSON.
  return {
    text: `select cardinality(array[${[...constants, ...timeouts, ...locals].join(", ")}])`,
    values,
    isInternal: true,
  };
}
