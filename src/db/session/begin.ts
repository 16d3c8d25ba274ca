import type { Statement } from "../driver/driver.ts";

/** https://www.postgresql.org/docs/current/transaction-iso.html; read uncommitted is read committed there. */
export const ISOLATION_LEVELS = ["read committed", "repeatable read", "serializable"] as const;

export type IsolationLevel = typeof ISOLATION_LEVELS[number];

/** How a transaction begins. */
export interface TransactionSettings {
  readonly isolation: IsolationLevel;
  /** Nothing is lost with the answer to its COMMIT, so that it is run again then: a NOTIFY in it may be sent twice. */
  readonly readOnly: boolean;
  readonly deferrable: boolean;
  /** Longest run of one statement. */
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
  /** Longest pause between statements, after which the server ends the connection and frees its locks. */
  readonly idleTransactionTimeoutMs: number;
  readonly transactionTimeoutMs: number;
  /** Settings that last as long as the transaction, for policies and triggers: `{ "app.user": id }`. */
  readonly locals: Readonly<Record<string, string>>;
}

/** Nearly every transaction begins in one of a few ways. Bounded, as a timeout may be anything. */
const ROUTINES_MAX = 64;
const routines = new Map<string, readonly Statement[]>();

/**
 * The statements that open a transaction, to be sent ahead of its first. Everything is local to the transaction,
 * since a connection may come from a pooler that lends it to somebody else next.
 */
export function beginStatements(settings: TransactionSettings): readonly Statement[] {
  if (Object.keys(settings.locals).length > 0) return [begin(settings), setLocals(settings)];
  const key = keyOf(settings);
  let statements = routines.get(key);
  if (statements === undefined) {
    statements = [begin(settings), setLocals(settings)].map((each) => ({
      ...each,
      isStatic: true,
    }));
    if (routines.size < ROUTINES_MAX) routines.set(key, statements);
  }
  return statements;
}

function keyOf(settings: TransactionSettings): string {
  const { isolation, readOnly, deferrable } = settings;
  const { statementTimeoutMs, lockTimeoutMs, idleTransactionTimeoutMs, transactionTimeoutMs } =
    settings;
  return `${isolation} ${readOnly} ${deferrable} ${statementTimeoutMs} ${lockTimeoutMs} ` +
    `${idleTransactionTimeoutMs} ${transactionTimeoutMs}`;
}

function begin({ isolation, readOnly, deferrable }: TransactionSettings): Statement {
  const modes = [`isolation level ${isolation}`];
  if (readOnly) modes.push("read only");
  if (deferrable) modes.push("deferrable");
  return { text: `begin ${modes.join(", ")}`, values: [], isInternal: true };
}

function setLocals(settings: TransactionSettings): Statement {
  const locals: [string, string][] = [
    ["statement_timeout", `${settings.statementTimeoutMs}ms`],
    ["lock_timeout", `${settings.lockTimeoutMs}ms`],
    ["idle_in_transaction_session_timeout", `${settings.idleTransactionTimeoutMs}ms`],
    ...Object.entries(settings.locals),
    ["transaction_timeout", `${settings.transactionTimeoutMs}ms`],
  ];
  const calls = locals.map(([name], index) => {
    const call = `set_config($${2 * index + 1}, $${2 * index + 2}, true)`;
    // Came with PostgreSQL 17; older servers must not fail over it.
    return name === "transaction_timeout"
      ? `case when current_setting('transaction_timeout', true) is not null then ${call} end`
      : call;
  });
  return { text: `select ${calls.join(", ")}`, values: locals.flat(), isInternal: true };
}
