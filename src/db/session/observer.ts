import type { FlightPart } from "../driver/driver.ts";
import type { ServerAddress } from "../pool/replicas/read_server.ts";
import type { TransactionSettings } from "./transaction_settings.ts";

/**
 * Is called for transactions and their flights, for traces. Its methods must not throw: an exception would reject the
 * caller's statement.
 */
export interface Observer {
  /** Called before a transaction leases its connection, or goes to the endpoint. Returns `undefined` if this transaction is not to be observed. */
  transaction(begun: TransactionBegun): TransactionObserver | undefined;
}

/** What is known of a transaction, or of the statement of `Database.run`, before its first flight. */
export interface TransactionBegun {
  /** `SessionOptions.label`. */
  readonly label: string | undefined;
  /** The attempt of the unit of work, counted from 1. */
  readonly attempt: number;
  /** `undefined` for the statement of `Database.run`, which runs at the server's own settings. */
  readonly settings: TransactionSettings | undefined;
  /** Whether the database's endpoint runs it: it leases no connection. */
  readonly isRemote: boolean;
}

/** Observes one transaction. */
export interface TransactionObserver {
  /** Called when the transaction has its connection. `login` settles when a new connection has logged in. */
  leased?(login: Promise<void> | undefined): void;
  /**
   * Called when a flight is sent: to the replica at this address, or to the primary. The returned function is called when
   * it ends, with its error if it failed.
   */
  flight(parts: readonly FlightPart[], replica?: ServerAddress): (error?: unknown) => void;
  /** Called once, at the end of the transaction, with its first error if there was one. */
  ended(outcome: TransactionOutcome, error: Error | undefined): void;
}

/** `lost`: the transaction got no connection, lost it before COMMIT, or lost it with a COMMIT of unknown outcome. */
export type TransactionOutcome = "committed" | "rolled back" | "lost";

/** Calls both. */
export function bothObservers(one: Observer | undefined, other: Observer): Observer {
  if (one === undefined) return other;
  return {
    transaction(begun) {
      const all = [one.transaction(begun), other.transaction(begun)]
        .filter((each) => each !== undefined);
      return {
        leased: (login) => all.forEach((each) => each.leased?.(login)),
        flight(parts, replica) {
          const ended = all.map((each) => each.flight(parts, replica));
          return (error) => ended.forEach((each) => each(error));
        },
        ended: (outcome, error) => all.forEach((each) => each.ended(outcome, error)),
      };
    },
  };
}
