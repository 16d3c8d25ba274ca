/** A user as a row of the table. */

import { sql } from "../db/mod.ts";
import type { User } from "./user.ts";
import type { UserId } from "./user_id.ts";

export interface UserRow {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export const COLUMNS = sql`id, email, name, version, created_at, updated_at`;

export function userOf(row: UserRow): User {
  return {
    id: row.id as UserId,
    email: row.email,
    name: row.name,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
