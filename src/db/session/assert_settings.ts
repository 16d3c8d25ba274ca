/** What cannot be sent as a setting of a transaction is refused before a connection is leased for it. */
import { assertLimits, shown } from "../time/limits.ts";
import { assertLocals } from "./begin.ts";
import { ISOLATION_LEVELS, type TransactionSettings } from "./transaction_settings.ts";

/** https://www.postgresql.org/docs/current/runtime-config-client.html */
const TIMEOUT = {
  text: "a number from 0, for no limit, to 2147483647",
  has: (value: number) => value >= 0 && value < 2 ** 31,
};
const TIMEOUTS = {
  statementTimeoutMs: TIMEOUT,
  lockTimeoutMs: TIMEOUT,
  idleTransactionTimeoutMs: TIMEOUT,
  transactionTimeoutMs: TIMEOUT,
};

/**
 * Throws `RangeError` for a timeout, and `TypeError` for a level, a mode or a local, that cannot be sent, before a
 * connection is leased for it.
 */
export function assertSettings(
  settings: TransactionSettings,
  action = "begin the transaction",
): void {
  const { isolation } = settings;
  assertLimits(action, settings, TIMEOUTS);
  assertSwitch(action, "readOnly", settings.readOnly ?? false);
  assertSwitch(action, "deferrable", settings.deferrable);
  if (!ISOLATION_LEVELS.includes(isolation)) {
    throw new TypeError(
      `Cannot ${action} as the isolation level is unknown: current value is ${
        shown(isolation)
      }; choose one of ${ISOLATION_LEVELS.join(", ")}`,
    );
  }
  assertLocals(settings);
}

/** The text "false" would count as true. */
function assertSwitch(action: string, name: string, value: unknown): void {
  if (typeof value === "boolean") return;
  throw new TypeError(
    `Cannot ${action} as '${name}' must be true or false: current value is ${shown(value)}`,
  );
}
