/** What happened to a user, as others are told of it. */

import * as v from "valibot";
import { type Sql, sql } from "../db/mod.ts";
import { UserId } from "./user_id.ts";

const told = {
  /** Of the event: the same, however often it is delivered. */
  id: v.pipe(v.string(), v.digits(), v.maxLength(19)),
  userId: UserId,
  /** Of the user, after the change; a deletion counts as one. No two events of a user have the same. */
  version: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 31 - 1)),
  occurredAt: v.pipe(v.string(), v.isoTimestamp()),
};

const values = v.object({ email: v.string(), name: v.string() });

export const UserEvent = v.variant("type", [
  v.object({ ...told, type: v.literal("user.created"), data: values }),
  v.object({ ...told, type: v.literal("user.updated"), data: values }),
  v.object({ ...told, type: v.literal("user.deleted"), data: v.object({}) }),
]);
export type UserEvent = v.InferOutput<typeof UserEvent>;

/**
 * The change, and the row of the event that tells of it, in one statement: neither can be without the other.
 * `change` must return `id` and `version`, and `email` and `name` of a user that is left.
 */
export function withEvent<Row>(change: Sql<Row>, type: UserEvent["type"]): Sql<Row> {
  const data = type === "user.deleted"
    ? sql`'{}'::jsonb`
    : sql`jsonb_build_object('email', email, 'name', name)`;
  return sql<Row>`
    with changed as (${change}), told as (
      insert into user_events (user_id, version, type, data)
      select id, version, ${type}, ${data} from changed
    )
    select * from changed`;
}
