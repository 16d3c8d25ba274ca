/** Finds what is wrong with the pools of a database, and describes it in sentences for the operator. */
import type { PoolCounts, PoolView } from "../db/mod.ts";
import type { ReplicaSummary, ServerConnection } from "./servers.ts";
import { sanitised } from "./statement.ts";

export interface Diagnostic {
  readonly kind: "unreachable" | "exhausted" | "replica" | "slow_statement" | "idle_lease" | "leak";
  /** Without durations, because a screen reader reads every change aloud. */
  readonly title: string;
  readonly details: readonly string[];
}

/** A statement that runs for longer than this is reported, and so is a lease that runs no statement and is older. */
const SLOW_MS = 1_000;

/** One cause often affects many connections. Only the longest affected are listed. */
const MAX_DETAILS = 3;

/** All servers: the primary and the replicas. */
interface Servers {
  readonly connections: readonly ServerConnection[];
  readonly replicas: readonly ReplicaSummary[];
}

/** The problems, the most serious first; empty if there are none. `counts` and `primary` are those of the primary's pool. */
export function diagnose(
  counts: PoolCounts,
  primary: PoolView,
  { connections, replicas }: Servers,
): Diagnostic[] {
  const found = [
    unreachable(primary),
    exhausted(counts, primary),
    leftOut(replicas.filter(({ isLeftOut }) => isLeftOut)),
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

function leftOut(replicas: readonly ReplicaSummary[]): Diagnostic | undefined {
  const title = replicas.length > 1 ? "Replicas have failed" : "A replica has failed";
  return diagnosticOf(
    { kind: "replica", title },
    replicas,
    ({ number, server, lastConnectError }) =>
      `The primary answers the reads of replica ${number}, ${server}` +
      (lastConnectError === undefined ? "" : `: ${lastConnectError}`),
  );
}

function slowStatements(connections: readonly ServerConnection[]): Diagnostic | undefined {
  const title = connections.length > 1 ? "Statements are slow" : "A statement is slow";
  const runningMs = ({ running }: ServerConnection) => running!.runningMs;
  return diagnosticOf(
    { kind: "slow_statement", title },
    longestFirst(connections, runningMs),
    (each) =>
      `${nameOf(each)} has been running for ${formatDuration(runningMs(each))}: ` +
      sanitised(each.running!.text),
  );
}

function isIdleLease({ state, running, stateMs, isLeak }: ServerConnection): boolean {
  return state === "leased" && running === undefined && stateMs >= SLOW_MS && !isLeak;
}

function idleLeases(connections: readonly ServerConnection[]): Diagnostic | undefined {
  const title = connections.length > 1
    ? "Leased connections run no statement"
    : "A leased connection runs no statement";
  return diagnosticOf(
    { kind: "idle_lease", title },
    longestFirst(connections),
    (each) => `${leaseOf(each)}, and runs no statement`,
  );
}

function leaks(connections: readonly ServerConnection[]): Diagnostic | undefined {
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
  connections: readonly ServerConnection[],
  timeMs = ({ stateMs }: ServerConnection) => stateMs,
): ServerConnection[] {
  return connections.toSorted((one, other) => timeMs(other) - timeMs(one));
}

function diagnosticOf<Affected>(
  finding: Pick<Diagnostic, "kind" | "title">,
  affected: readonly Affected[],
  describe: (each: Affected) => string,
): Diagnostic | undefined {
  if (affected.length === 0) return undefined;
  const details = affected.slice(0, MAX_DETAILS).map(describe);
  const more = affected.length - details.length;
  return { ...finding, details: more > 0 ? [...details, `And ${more} more`] : details };
}

function leaseOf(connection: ServerConnection): string {
  return `${connection.label ?? "A caller without a label"} has leased connection ${
    numberOf(connection)
  } for ${formatDuration(connection.stateMs)}`;
}

function nameOf(connection: ServerConnection): string {
  const { label } = connection;
  const number = numberOf(connection);
  return label === undefined ? `Connection ${number}` : `${label}, on connection ${number},`;
}

/** Replicas' pools have numbers of their own. */
function numberOf({ id, replica }: ServerConnection): string {
  return replica === undefined ? `${id}` : `${id} to replica ${replica}`;
}

function formatDuration(timeMs: number): string {
  return timeMs < 1_000 ? `${timeMs.toFixed(0)} ms` : `${(timeMs / 1_000).toFixed(1)} s`;
}
