/** A pool as people look at it: each connection, and those who wait. */
import type { AcquireQueue } from "./acquire_queue.ts";
import type { FlightPart } from "../driver/driver.ts";
import type { EntryState, PoolEntry } from "./pool_entry.ts";

export interface PoolView {
  /** In the order in which they were opened. */
  readonly connections: readonly ConnectionView[];
  /** The first of those who wait, in their order; at most 20. */
  readonly waiters: readonly WaiterView[];
  /** The newest connect failure; `undefined` when the newest connect succeeded. */
  readonly lastConnectError: Error | undefined;
}

export interface ConnectionView {
  /** A number of the pool's own. */
  readonly id: number;
  readonly state: Exclude<EntryState, "gone">;
  /** Since it began to open. */
  readonly ageMs: number;
  /** Since its lease began or ended, if it is leased or idle; else its age. */
  readonly stateMs: number;
  /** Of the server's process, once it has told. */
  readonly processId: number | undefined;
  /** Who has its lease, in the caller's words. */
  readonly label: string | undefined;
  /** Whether the lease has been held for longer than the threshold. */
  readonly isLeak: boolean;
  /** What the server is at work on; without one, a leased connection waits for its holder. */
  readonly running: { readonly text: string; readonly runningMs: number } | undefined;
}

export interface WaiterView {
  readonly label: string | undefined;
  readonly waitedMs: number;
}

const MOST_WAITERS = 20;

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
    if (waiters.length >= MOST_WAITERS) break;
    waiters.push({ label, waitedMs: nowMs - since });
  }
  const connections = Array.from(entries, (entry) => connectionView(entry, nowMs));
  return { connections, waiters, lastConnectError: lastError };
}

function connectionView(entry: PoolEntry, nowMs: number): ConnectionView {
  const { id, bornAt, leasedSince, idleSince, connection, watch } = entry;
  const state = entry.state as ConnectionView["state"];
  const isLeased = state === "leased";
  const since = isLeased ? leasedSince : state === "idle" ? idleSince : bornAt;
  const flight = isLeased ? entry.lease?.flight : undefined;
  return {
    id,
    state,
    ageMs: nowMs - bornAt,
    stateMs: nowMs - since,
    processId: connection?.processId,
    label: isLeased ? entry.label : undefined,
    isLeak: isLeased && watch?.isQueued === false,
    running: flight && { text: textOf(flight.parts), runningMs: nowMs - flight.sinceMs },
  };
}

/** What a flight is for, without its values: what its author sent, or its last statement if there is nothing of that. */
export function textOf(parts: readonly FlightPart[]): string {
  const own = parts.filter((part) => !isOurs(part));
  return (own.length > 0 ? own : parts.slice(-1)).map(nameOf).join("; ");
}

/** What this layer sends around its authors' statements. With settings of its own, a transaction begins like no other. */
function isOurs(part: FlightPart): boolean {
  return "text" in part &&
    (part.isRoutine === true || /^(?:begin isolation|select set_config)/.test(part.text));
}

function nameOf(part: FlightPart): string {
  return "fetch" in part ? "fetch" : "close" in part ? "close" : part.text;
}
