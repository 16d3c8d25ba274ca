/** What is wrong with a pool, in words for whoever looks at it in the middle of the night. */
import type { ConnectionView, PoolView } from "../db/mod.ts";
import type { PoolCounts } from "../db/mod.ts";
import { sanitised } from "./statement.ts";

export interface Finding {
  readonly kind: "unreachable" | "crowded" | "slow" | "idle in transaction" | "leak";
  readonly text: string;
}

/** A statement that takes longer, and a lease that waits longer for its holder, is worth a word. */
const SLOW_MS = 1_000;

/** Nothing, if all is well. The gravest first. */
export function findingsOf(counts: PoolCounts, view: PoolView): Finding[] {
  return [
    ...unreachable(view),
    ...crowded(counts, view),
    ...view.connections.flatMap((connection) => [...slow(connection), ...leaked(connection)]),
  ];
}

function unreachable({ lastConnectError, connections }: PoolView): Finding[] {
  const opening = connections.filter(({ state }) => state === "opening");
  const longest = Math.max(0, ...opening.map(({ stateMs }) => stateMs));
  const reason = lastConnectError?.message ??
    (longest >= SLOW_MS ? `it has let nobody in for ${secondsOf(longest)}` : undefined);
  if (reason === undefined) return [];
  return [{ kind: "unreachable", text: `The database cannot be reached: ${reason}` }];
}

function crowded({ leased, limit, waiting }: PoolCounts, { waiters }: PoolView): Finding[] {
  if (waiting === 0 || leased < limit) return [];
  const longest = Math.max(0, ...waiters.map(({ waitedMs }) => waitedMs));
  return [{
    kind: "crowded",
    text:
      `The pool is too small for its work: all ${limit} connections are in use and ${waiting} ` +
      `wait, the first for ${
        secondsOf(longest)
      }; raise DATABASE_POOL_SIZE, or hold connections for less time`,
  }];
}

function slow({ id, label, running, stateMs, state }: ConnectionView): Finding[] {
  const who = label === undefined ? `Connection ${id}` : `Connection ${id} (${label})`;
  if (running !== undefined && running.runningMs >= SLOW_MS) {
    return [{
      kind: "slow",
      text: `${who} has been running a slow statement for ${secondsOf(running.runningMs)}: ` +
        sanitised(running.text),
    }];
  }
  if (running !== undefined || state !== "leased" || stateMs < SLOW_MS) return [];
  return [{
    kind: "idle in transaction",
    text: `${who} has been held for ${secondsOf(stateMs)}, and runs nothing`,
  }];
}

function leaked({ id, label, isLeak, stateMs }: ConnectionView): Finding[] {
  if (!isLeak) return [];
  return [{
    kind: "leak",
    text: `Connection ${id} may have leaked: ${
      label ?? "somebody without a label"
    } has had it for ${secondsOf(stateMs)}`,
  }];
}

function secondsOf(timeMs: number): string {
  return `${(timeMs / 1_000).toFixed(1)} s`;
}
