/** A user as a row of the table. */

import { sql } from "../db/mod.ts";
import type { User } from "./user.ts";
import type { UserId } from "./user_id.ts";

export interface UserRow {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly version: number;
  /** A text in a row that was kept for an idempotency key. */
  readonly created_at: Date | string;
  readonly updated_at: Date | string;
}

export const COLUMNS = sql`id, email, name, version, created_at, updated_at`;

export function userOf(row: UserRow): User {
  return {
    id: row.id as UserId,
    email: row.email,
    name: row.name,
    version: row.version,
    createdAt: timeOf(row.created_at),
    updatedAt: timeOf(row.updated_at),
  };
}

function timeOf(time: Date | string): Date {
  return typeof time === "string" ? new Date(time) : time;
}
