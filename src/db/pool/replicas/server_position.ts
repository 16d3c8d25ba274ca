/** Asks a server how far it is, along with a transaction's own statements: see `position.ts`. */
import type { Result, Statement } from "../../driver/driver.ts";
import { SYSTEM_IDENTIFIER } from "../../driver/system_identifier.ts";
import { isPosition, type Position } from "./position.ts";

/**
 * What is to be taken off the insert position, at a place in a WAL file. At the beginning of a page, PostgreSQL counts the
 * page's header in, which is longer in a file's first page; where a standby has replayed as much, it does not. No record
 * ends in a header. https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/access/xlog_internal.h
 */
const PAGE_HEADER = "case when file_offset = 40 then 40 " +
  "when file_offset % current_setting('wal_block_size')::int = 24 then 24 else 0 end";

/**
 * Asks a primary what it has written. The insert position: with `synchronous_commit` off, a commit is answered before it is
 * written out. The timeline is that of the WAL file: after a promotion the control file has the former one for a while. The
 * answer has NULLs on a standby, and where the cluster is not told.
 */
export function askWritten(): Statement {
  return question(
    `select ${clusterOf(SYSTEM_IDENTIFIER)}, left(file_name, 8), ${
      lsnOf("lsn", PAGE_HEADER)
    } from ` +
      "(select case when not pg_is_in_recovery() then pg_current_wal_insert_lsn() end as lsn) as wal, " +
      "pg_walfile_name_offset(lsn)",
  );
}

/**
 * Asks a standby what it has replayed. No row comes from a server that is none. The timeline is the newest that the control
 * file has: the standby may be on a later one, and never is on an earlier one.
 */
export function askReplayed(): Statement {
  return question(
    `select ${clusterOf("system_identifier")}, ` +
      `to_hex(greatest(timeline_id, min_recovery_end_timeline)), ${
        lsnOf("pg_last_wal_replay_lsn()")
      } ` +
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

/** Its digits, of the place so many bytes before it. */
function lsnOf(lsn: string, before = "0"): string {
  return `to_hex((${lsn} - '0/0'::pg_lsn)::bigint - ${before})`;
}

/** Reads the answer to either question. `undefined` if the server has told no position. */
export function readPosition(answer: Result | undefined): Position | undefined {
  const [cluster, timeline, lsn] = Object.values(answer?.rows[0] ?? {});
  if (typeof cluster !== "string" || typeof timeline !== "string" || typeof lsn !== "string") {
    return undefined;
  }
  const digits = (text: string, length: number) => text.toUpperCase().padStart(length, "0");
  const position = `${digits(cluster, 8)}-${digits(timeline, 8)}-${digits(lsn, 16)}`;
  return isPosition(position) ? position : undefined;
}
