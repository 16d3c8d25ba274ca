/** Asks a server how far it is, along with a transaction's own statements: see `position.ts`. */
import type { Result, Statement } from "../../driver/driver.ts";
import { SYSTEM_IDENTIFIER } from "../../driver/system_identifier.ts";
import { isPosition, type Position } from "./position.ts";

/**
 * Asks a primary what it has written. The insert position: with `synchronous_commit` off, a commit is answered before it is
 * written out. The timeline is that of the WAL file: after a promotion the control file has the former one for a while. The
 * answer has NULLs on a standby, and where the cluster is not told.
 */
export function askWritten(): Statement {
  return question(
    `select ${clusterOf(SYSTEM_IDENTIFIER)}, left(pg_walfile_name(lsn), 8), lsn::text from ` +
      "(select case when not pg_is_in_recovery() then pg_current_wal_insert_lsn() end as lsn) as wal",
  );
}

/**
 * Asks a standby what it has replayed. No row comes from a server that is none. The timeline is the newest that the control
 * file has: the standby may be on a later one, and never is on an earlier one.
 */
export function askReplayed(): Statement {
  return question(
    `select ${clusterOf("system_identifier")}, ` +
      "to_hex(greatest(timeline_id, min_recovery_end_timeline)), pg_last_wal_replay_lsn()::text " +
      "from pg_control_system(), pg_control_checkpoint(), pg_control_recovery() where pg_is_in_recovery()",
  );
}

/** To be kept and sent many times. */
function question(text: string): Statement {
  return { text, values: [], isStatic: true, isInternal: true };
}

/** Enough of the system identifier to tell clusters apart: its low half has microseconds and a process id. */
function clusterOf(identifier: string): string {
  return `to_hex(${identifier}::bigint & 4294967295)`;
}

/** Reads the answer to either question. `undefined` if the server has told no position. */
export function readPosition(answer: Result | undefined): Position | undefined {
  const [cluster, timeline, lsn] = Object.values(answer?.rows[0] ?? {});
  if (typeof cluster !== "string" || typeof timeline !== "string" || typeof lsn !== "string") {
    return undefined;
  }
  const [first, second, third, fourth] = [cluster, timeline, ...lsn.split("/")].map((digits) =>
    digits.toUpperCase().padStart(8, "0")
  );
  const position = `${first}-${second}-${third}${fourth}`;
  return isPosition(position) ? position : undefined;
}
