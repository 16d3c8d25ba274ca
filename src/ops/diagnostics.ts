/** Finds what is wrong with a pool, and describes it in sentences for the operator. */
import type { ConnectionView, PoolCounts, PoolView } from "../db/mod.ts";
import { sanitised } from "./statement.ts";

export interface Diagnostic {
  readonly kind: "unreachable" | "exhausted" | "slow_statement" | "idle_lease" | "leak";
  /** Without durations, because a screen reader reads every change aloud. */
  readonly title: string;
  readonly details: readonly string[];
}

/** A statement that runs for longer than this is reported, and so is a lease that runs no statement and is older. */
const SLOW_MS = 1_000;

/** One cause often affects many connections. Only the longest affected are listed. */
const MAX_DETAILS = 3;

/** The pool's problems, the most serious first; empty if there are none. */
export function diagnose(counts: PoolCounts, view: PoolView): Diagnostic[] {
  const { connections } = view;
  const found = [
    unreachable(view),
    exhausted(counts, view),
    slowStatements(
      connections.filter(({ running }) => running !== undefined && running.runningMs > SLOW_MS),
    ),
    idleLeases(connections.filter(isIdleLease)),
    leaks(connections.filter(({ isLeak }) => isLeak)),
  ];
  return found.filter((diagnostic) => diagnostic !== undefined);
}

function unreachable({ lastConnectError, connections }: PoolView): Diagnostic | undefined {
  const opening = connections.filter(({ state }) => state === "opening");
  const longest = Math.max(0, ...opening.map(({ stateMs }) => stateMs));
  const reason = lastConnectError?.message ??
    (longest >= SLOW_MS
      ? `A connection has been opening for ${formatDuration(longest)}`
      : undefined);
  if (reason === undefined) return undefined;
  return { kind: "unreachable", title: "The database cannot be reached", details: [reason] };
}

function exhausted(
  { leased, limit, waiting }: PoolCounts,
  { waiters }: PoolView,
): Diagnostic | undefined {
  if (waiting === 0 || leased < limit) return undefined;
  const longest = Math.max(0, ...waiters.map(({ waitedMs }) => waitedMs));
  const inUse = limit === 1 ? "Its only connection is" : `All ${limit} connections are`;
  return {
    kind: "exhausted",
    title: "The pool is exhausted",
    details: [
      `${inUse} in use and ${waiting === 1 ? "1 caller waits" : `${waiting} callers wait`}, ` +
      `for up to ${formatDuration(longest)}; ` +
      "raise DATABASE_POOL_SIZE, or hold connections for less time",
    ],
  };
}

function slowStatements(connections: readonly ConnectionView[]): Diagnostic | undefined {
  const title = connections.length > 1 ? "Statements are slow" : "A statement is slow";
  const runningMs = ({ running }: ConnectionView) => running!.runningMs;
  return diagnosticOf(
    { kind: "slow_statement", title },
    longestFirst(connections, runningMs),
    (each) =>
      `${nameOf(each)} has been running for ${formatDuration(runningMs(each))}: ` +
      sanitised(each.running!.text),
  );
}

function isIdleLease({ state, running, stateMs, isLeak }: ConnectionView): boolean {
  return state === "leased" && running === undefined && stateMs >= SLOW_MS && !isLeak;
}

function idleLeases(connections: readonly ConnectionView[]): Diagnostic | undefined {
  const title = connections.length > 1
    ? "Leased connections run no statement"
    : "A leased connection runs no statement";
  return diagnosticOf(
    { kind: "idle_lease", title },
    longestFirst(connections),
    (each) => `${leaseOf(each)}, and runs no statement`,
  );
}

function leaks(connections: readonly ConnectionView[]): Diagnostic | undefined {
  const title = connections.length > 1
    ? "Connections may have leaked"
    : "A connection may have leaked";
  return diagnosticOf(
    { kind: "leak", title },
    longestFirst(connections),
    leaseOf,
  );
}

function longestFirst(
  connections: readonly ConnectionView[],
  timeMs = ({ stateMs }: ConnectionView) => stateMs,
): ConnectionView[] {
  return connections.toSorted((one, other) => timeMs(other) - timeMs(one));
}

function diagnosticOf(
  finding: Pick<Diagnostic, "kind" | "title">,
  connections: readonly ConnectionView[],
  describe: (connection: ConnectionView) => string,
): Diagnostic | undefined {
  if (connections.length === 0) return undefined;
  const details = connections.slice(0, MAX_DETAILS).map(describe);
  const more = connections.length - details.length;
  return { ...finding, details: more > 0 ? [...details, `And ${more} more`] : details };
}

function leaseOf({ id, label, stateMs }: ConnectionView): string {
  return `${label ?? "A caller without a label"} has leased connection ${id} for ${
    formatDuration(stateMs)
  }`;
}

function nameOf({ id, label }: ConnectionView): string {
  return label === undefined ? `Connection ${id}` : `${label}, on connection ${id},`;
}

function formatDuration(timeMs: number): string {
  return timeMs < 1_000 ? `${timeMs.toFixed(0)} ms` : `${(timeMs / 1_000).toFixed(1)} s`;
}
