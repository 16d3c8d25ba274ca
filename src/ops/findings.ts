/** What is wrong with a pool, in words for whoever looks at it in the middle of the night. */
import type { ConnectionView, PoolCounts, PoolView } from "../db/mod.ts";
import { sanitised } from "./statement.ts";

export interface Finding {
  readonly kind: "unreachable" | "crowded" | "slow" | "held" | "leak";
  /** Stays as it is for as long as the finding does. */
  readonly title: string;
  readonly details: readonly string[];
}

/** A statement that takes longer, and a lease that waits longer for its holder, is worth a word. */
const SLOW_MS = 1_000;

/** One cause makes many connections slow: those that have been so for longest stand for all. */
const MOST_DETAILS = 3;

/** Nothing, if all is well. The gravest first. */
export function findingsOf(counts: PoolCounts, view: PoolView): Finding[] {
  const { connections } = view;
  const found = [
    unreachable(view),
    crowded(counts, view),
    slow(connections.filter(({ running }) => running !== undefined && running.runningMs > SLOW_MS)),
    held(connections.filter(isHeld)),
    leaked(connections.filter(({ isLeak }) => isLeak)),
  ];
  return found.filter((finding) => finding !== undefined);
}

function unreachable({ lastConnectError, connections }: PoolView): Finding | undefined {
  const opening = connections.filter(({ state }) => state === "opening");
  const longest = Math.max(0, ...opening.map(({ stateMs }) => stateMs));
  const reason = lastConnectError?.message ??
    (longest >= SLOW_MS ? `It has let nobody in for ${shown(longest)}` : undefined);
  if (reason === undefined) return undefined;
  return { kind: "unreachable", title: "The database cannot be reached", details: [reason] };
}

function crowded(
  { leased, limit, waiting }: PoolCounts,
  { waiters }: PoolView,
): Finding | undefined {
  if (waiting === 0 || leased < limit) return undefined;
  const longest = Math.max(0, ...waiters.map(({ waitedMs }) => waitedMs));
  const inUse = limit === 1 ? "Its only connection is" : `All ${limit} connections are`;
  return {
    kind: "crowded",
    title: "The pool is too small for its work",
    details: [
      `${inUse} in use and ${waiting} wait, the first for ${shown(longest)}; ` +
      "raise DATABASE_POOL_SIZE, or hold connections for less time",
    ],
  };
}

function slow(connections: readonly ConnectionView[]): Finding | undefined {
  const title = connections.length > 1 ? "Statements are slow" : "A statement is slow";
  const runningMs = ({ running }: ConnectionView) => running!.runningMs;
  return findingOf(
    { kind: "slow", title },
    longestFirst(connections, runningMs),
    (each) =>
      `${nameOf(each)} has been running for ${shown(runningMs(each))}: ` +
      sanitised(each.running!.text),
  );
}

function isHeld({ state, running, stateMs, isLeak }: ConnectionView): boolean {
  return state === "leased" && running === undefined && stateMs >= SLOW_MS && !isLeak;
}

function held(connections: readonly ConnectionView[]): Finding | undefined {
  const title = connections.length > 1
    ? "Connections are held without work"
    : "A connection is held without work";
  return findingOf(
    { kind: "held", title },
    longestFirst(connections),
    (each) => `${nameOf(each)} has been held for ${shown(each.stateMs)}, and runs nothing`,
  );
}

function leaked(connections: readonly ConnectionView[]): Finding | undefined {
  const title = connections.length > 1
    ? "Connections may have leaked"
    : "A connection may have leaked";
  return findingOf(
    { kind: "leak", title },
    longestFirst(connections),
    ({ id, label, stateMs }) =>
      `${label ?? "Somebody without a label"} has had connection ${id} for ${shown(stateMs)}`,
  );
}

function longestFirst(
  connections: readonly ConnectionView[],
  timeMs = ({ stateMs }: ConnectionView) => stateMs,
): ConnectionView[] {
  return connections.toSorted((one, other) => timeMs(other) - timeMs(one));
}

function findingOf(
  finding: Pick<Finding, "kind" | "title">,
  connections: readonly ConnectionView[],
  tell: (connection: ConnectionView) => string,
): Finding | undefined {
  if (connections.length === 0) return undefined;
  const details = connections.slice(0, MOST_DETAILS).map(tell);
  const more = connections.length - details.length;
  return { ...finding, details: more > 0 ? [...details, `And ${more} more`] : details };
}

function nameOf({ id, label }: ConnectionView): string {
  return label === undefined ? `Connection ${id}` : `${label}, on connection ${id},`;
}

function shown(timeMs: number): string {
  return timeMs < 1_000 ? `${timeMs.toFixed(0)} ms` : `${(timeMs / 1_000).toFixed(1)} s`;
}
