/** How many connections the process may take, by the system's limit on its open files. */
import type { ListenerOptions } from "./listener.ts";

/** The usual soft limit, assumed where the real one cannot be read. */
const USUAL_LIMIT = 1_024;

/** For the files, pipes and timers of the runtime, name lookups, cancel requests, and sockets that are being closed. */
const RUNTIME_RESERVE = 64;

/**
 * Connections that wait to be accepted: all of them can be accepted at once, before the first is refused, so that
 * descriptors are reserved for them. A process that may open many files has room for more clients that come at once.
 */
const BACKLOG = { least: 128, share: 1 / 8, most: 1_024 };

/** The most that is derived: each idle connection costs memory as well. `MAX_CONNECTIONS` may be set higher. */
const MOST_DERIVED = 4_096;

export interface ConnectionSettings {
  /** `MAX_CONNECTIONS`. */
  readonly max?: number | undefined;
  /** `MAX_CONNECTIONS_PER_CLIENT`. */
  readonly maxPerClient?: number | undefined;
}

export type ListenerLimits = Pick<ListenerOptions, "max" | "maxPerClient" | "backlog">;

/**
 * The bounds that are set, or derived: all descriptors that the pool's sockets, the backlog and the runtime do not need,
 * and half of them for one client. Throws an `Error` if `MAX_CONNECTIONS` is set to more than there are, or none are left.
 */
export function connectionLimits(
  { max, maxPerClient }: ConnectionSettings,
  { poolMax, descriptors }: { poolMax: number; descriptors: number | undefined },
): ListenerLimits {
  const files = descriptors ?? USUAL_LIMIT;
  const left = files - poolMax - RUNTIME_RESERVE;
  const wanted = Math.min(Math.floor(BACKLOG.share * files), BACKLOG.most);
  // It gives way to a bound that is set.
  const backlog = Math.max(BACKLOG.least, Math.min(wanted, left - (max ?? 0)));
  const free = left - backlog;
  if (descriptors !== undefined && (max ?? 1) > free) {
    throw new Error(
      `Cannot serve ${
        max ?? "any"
      } connections as the process may open ${descriptors} files, of which ` +
        `${descriptors - free} are reserved: current MAX_CONNECTIONS is ${
          max ?? "not set"
        }; raise the limit with ` +
        "`ulimit -n`" + (free > 0 ? `, or set MAX_CONNECTIONS to at most ${free}` : ""),
    );
  }
  if (max === undefined && free < 1) {
    throw new Error(
      `Cannot derive how many connections to serve as the pool takes ${poolMax} of the ${USUAL_LIMIT} files that are ` +
        "assumed, because the limit cannot be read here: current MAX_CONNECTIONS is not set; set it",
    );
  }
  const bound = max ?? Math.min(free, MOST_DERIVED);
  return { max: bound, maxPerClient: maxPerClient ?? Math.ceil(bound / 2), backlog };
}

/** The limit on open files; undefined where it cannot be read: Deno lets only `--allow-all` read `/proc/self/limits`. */
export function descriptorLimit(): number | undefined {
  if (Deno.build.os !== "linux" || !hasAllPermissions()) return undefined;
  const [, soft] = /^Max open files\s+(\d+)/m.exec(Deno.readTextFileSync("/proc/self/limits")) ??
    [];
  return soft === undefined ? undefined : Number(soft);
}

/** Asked first: to read the file without permission would prompt the user of a terminal. */
function hasAllPermissions(): boolean {
  const names = ["read", "write", "net", "env", "sys", "run", "ffi"] as const;
  return names.every((name) => Deno.permissions.querySync({ name }).state === "granted");
}
