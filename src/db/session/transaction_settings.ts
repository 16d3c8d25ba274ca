/** How a transaction begins, and what a session may change of it. */

/** https://www.postgresql.org/docs/current/transaction-iso.html. PostgreSQL runs read uncommitted as read committed. */
export const ISOLATION_LEVELS = ["read committed", "repeatable read", "serializable"] as const;

/** One of `ISOLATION_LEVELS`. */
export type IsolationLevel = typeof ISOLATION_LEVELS[number];

/** How a transaction begins. In each timeout, 0 means no limit, as in PostgreSQL. */
export interface TransactionSettings {
  /** Said in BEGIN. */
  readonly isolation: IsolationLevel;
  /**
   * A read-only transaction has no effect that could be lost with the answer to its COMMIT. It is then run again, so
   * that a NOTIFY in it may be sent twice. `false` is said to the server too. Without either, the server's
   * `default_transaction_read_only` decides.
   */
  readonly readOnly?: boolean | undefined;
  /**
   * With `serializable` and `readOnly`: waits at the beginning for a snapshot that cannot cause serialization failures.
   */
  readonly deferrable: boolean;
  /** Longest run of one statement: `statement_timeout`. The server cancels the statement. */
  readonly statementTimeoutMs: number;
  /** Longest wait for one lock: `lock_timeout`. The server cancels the statement. */
  readonly lockTimeoutMs: number;
  /** Longest pause between two statements: `idle_in_transaction_session_timeout`. The server closes the connection. */
  readonly idleTransactionTimeoutMs: number;
  /** Longest transaction: `transaction_timeout`, on PostgreSQL 17 and later. The server closes the connection. */
  readonly transactionTimeoutMs: number;
  /**
   * Settings that last as long as the transaction, for row policies and triggers: `{ "app.user": id }`. What is sent for a
   * frozen object is kept, so that one for each tenant or user costs less than one for each transaction.
   */
  readonly locals: Readonly<Record<string, string>>;
}

/** Those that are to differ. `undefined` is as if left out. */
export type SettingsChanges = {
  readonly [Name in keyof TransactionSettings]?: TransactionSettings[Name] | undefined;
};

export type Timeouts = Pick<
  TransactionSettings,
  "statementTimeoutMs" | "lockTimeoutMs" | "idleTransactionTimeoutMs" | "transactionTimeoutMs"
>;

/** The settings of a transaction whose options replace some of the defaults. Named one by one, as to spread costs more. */
export function withOptions(
  defaults: TransactionSettings,
  options: SettingsChanges,
): TransactionSettings {
  return {
    isolation: options.isolation ?? defaults.isolation,
    readOnly: options.readOnly ?? defaults.readOnly,
    deferrable: options.deferrable ?? defaults.deferrable,
    statementTimeoutMs: options.statementTimeoutMs ?? defaults.statementTimeoutMs,
    lockTimeoutMs: options.lockTimeoutMs ?? defaults.lockTimeoutMs,
    idleTransactionTimeoutMs: options.idleTransactionTimeoutMs ?? defaults.idleTransactionTimeoutMs,
    transactionTimeoutMs: options.transactionTimeoutMs ?? defaults.transactionTimeoutMs,
    locals: options.locals ?? defaults.locals,
  };
}
