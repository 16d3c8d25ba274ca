import type { FlightPart } from "../driver/driver.ts";
import type { TransactionSettings } from "./begin.ts";

/**
 * Told of what transactions do, for traces. Without one, nothing is told and nothing is spent. What it throws is thrown
 * at whoever works: it must not throw.
 */
export interface Observer {
  /** A transaction asks for its connection. Whoever does not want to hear of it gives nothing back. */
  transaction(begun: TransactionBegun): TransactionObserver | undefined;
}

export interface TransactionBegun {
  /** Who works, in the caller's words. */
  readonly label: string | undefined;
  /** 1 for the first try of a unit of work. */
  readonly attempt: number;
  readonly settings: TransactionSettings;
}

export interface TransactionObserver {
  /** A flight leaves. What comes back is called with its end, and with the error that was its answer. */
  flight(parts: readonly FlightPart[]): (error?: unknown) => void;
  ended(outcome: TransactionOutcome, error: Error | undefined): void;
}

/** `lost` without an answer: of a COMMIT that was sent, or of anything before it. */
export type TransactionOutcome = "committed" | "rolled back" | "lost";
