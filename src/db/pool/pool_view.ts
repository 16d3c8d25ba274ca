/** A pool as the operator sees it: each connection, and the first waiters. */
import type { AcquireQueue } from "./acquire_queue.ts";
import type { FlightPart } from "../driver/driver.ts";
import { ownParts } from "../driver/own_parts.ts";
import type { PoolEntry } from "./pool_entry.ts";

/** A pool at one moment: `Database.inspect` gives it. */
export interface PoolView {
  /** In the order in which they began to open. */
  readonly connections: readonly ConnectionView[];
  /** The first 20 waiters, in queue order. */
  readonly waiters: readonly WaiterView[];
  /** The newest connect failure; `undefined` when the newest connect succeeded. */
  readonly lastConnectError: Error | undefined;
}

/** One connection of a pool, as an operator sees it. Durations are in milliseconds. */
export interface ConnectionView {
  /** Unique within the pool. */
  readonly id: number;
  /** `closing` until the peer has closed. */
  readonly state: "opening" | "leased" | "idle" | "closing";
  /** Since the connection began to open. */
  readonly ageMs: number;
  /** Since its lease began (`leased`) or ended (`idle`); else its age. */
  readonly stateMs: number;
  /** The backend's process id, once the server has sent it. */
  readonly processId: number | undefined;
  /** Callers that share it for reads; 0 if one caller has it to itself, or no caller has it. */
  readonly readers: number;
  /** `AcquireOptions.label` of the current lease; of a shared connection, of the oldest one. */
  readonly label: string | undefined;
  /** Whether the lease has been held for longer than the threshold. */
  readonly isLeak: boolean;
  /** The flight in progress. `undefined` on a leased connection: the holder has sent nothing since the last answer. */
  readonly running: { readonly text: string; readonly runningMs: number } | undefined;
}

/** One caller that waits for a connection. */
export interface WaiterView {
  /** `AcquireOptions.label` of the caller. */
  readonly label: string | undefined;
  /** Since it asked. */
  readonly waitedMs: number;
}

const MAX_WAITERS = 20;

export function viewOf(
  { entries, queue, lastError }: {
    readonly entries: Iterable<PoolEntry>;
    readonly queue: AcquireQueue;
    readonly lastError: Error | undefined;
  },
  nowMs: number,
): PoolView {
  const waiters: WaiterView[] = [];
  for (const { request: { label }, since } of queue) {
    if (waiters.length >= MAX_WAITERS) break;
    waiters.push({ label, waitedMs: nowMs - since });
  }
  const connections = Array.from(entries, (entry) => connectionView(entry, nowMs));
  return { connections, waiters, lastConnectError: lastError };
}

function connectionView(entry: PoolEntry, nowMs: number): ConnectionView {
  const { id, bornAt, leasedSince, idleSince, connection, watch, shared } = entry;
  const state = entry.state as ConnectionView["state"];
  const isLeased = state === "leased";
  const since = isLeased ? leasedSince : state === "idle" ? idleSince : bornAt;
  const watches = [watch, ...(shared?.shares ?? []).map(({ watch }) => watch)];
  const flight = entry.held.at(-1)?.flight;
  return {
    id,
    state,
    ageMs: nowMs - bornAt,
    stateMs: nowMs - since,
    processId: connection?.processId,
    label: isLeased ? entry.label : undefined,
    readers: shared?.shares.length ?? 0,
    isLeak: isLeased && watches.some((each) => each?.isQueued === false),
    running: flight && { text: textOf(flight.parts), runningMs: nowMs - flight.sinceMs },
  };
}

/** A flight's SQL without its values: the caller's statements, or the last part if all are internal (a lone COMMIT). */
export function textOf(parts: readonly FlightPart[]): string {
  const own = ownParts(parts);
  return (own.length > 0 ? own : parts.slice(-1)).map(nameOf).join("; ");
}

function nameOf(part: FlightPart): string {
  return "fetch" in part ? "fetch" : "close" in part ? "close" : part.text;
}
