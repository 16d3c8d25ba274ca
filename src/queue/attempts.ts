/** How often a message is tried, by the error of its last attempt. */

import {
  AcquireTimeoutError,
  ConnectError,
  databaseErrorIn,
  isStatementFault,
  PoolClosedError,
  PoolOverloadedError,
  ServerError,
} from "../db/mod.ts";

/** Attempts before a dead letter if the failure is the message's own, such as statements that the server rejects. */
export const MAX_ATTEMPTS = 5;

/** Attempts if the database failed: about a day of outage, at the longest delays. */
export const MAX_OUTAGE_ATTEMPTS = 100;

/**
 * True for errors of acquiring a connection, which every message would meet. A connection lost during one message is
 * not an outage.
 */
export function isOutage(error: unknown): boolean {
  const databaseError = databaseErrorIn(error);
  return OUTAGES.some((outage) => databaseError instanceof outage);
}

const OUTAGES = [ConnectError, AcquireTimeoutError, PoolOverloadedError, PoolClosedError];

/**
 * False if no statement can have reached the server. A message whose statements end the server's process must be counted,
 * also if that was the first flight of a connection.
 */
export function mayHaveRun(error: unknown): boolean {
  if (!isOutage(error)) return true;
  const databaseError = databaseErrorIn(error);
  return databaseError instanceof ConnectError && databaseError.sent &&
    !(databaseError.cause instanceof ServerError);
}

/**
 * The lower limit is only for errors that a healthy database would give as well, so that neither an outage nor a slow
 * database makes a dead letter of a good message. An unknown COMMIT outcome is no reason for it either: with the key, a
 * second run is safe.
 */
export function maxAttemptsFor(error: unknown): number {
  const databaseError = databaseErrorIn(error);
  const isOwn = databaseError instanceof ServerError
    ? isStatementFault(databaseError)
    : databaseError === undefined;
  return isOwn ? MAX_ATTEMPTS : MAX_OUTAGE_ATTEMPTS;
}
