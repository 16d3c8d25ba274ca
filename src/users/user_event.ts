/** The events that tell other parts of the system about changes to users. */

import * as v from "valibot";
import { type Sql, sql } from "../db/mod.ts";
import { DEFAULT_TENANT, TENANT_NAME } from "../tenant.ts";
import { type KeepRows, keptPart } from "./change_session.ts";
import { UserId } from "./user_id.ts";

const commonFields = {
  /** Id of the event: the same in every delivery. */
  id: v.pipe(v.string(), v.digits(), v.maxLength(19)),
  /** Absent from messages of before there were tenants. */
  tenant: v.optional(v.pipe(v.string(), v.regex(TENANT_NAME)), DEFAULT_TENANT),
  userId: UserId,
  /** The user's version after the change; a deletion increments it, too. Unique among the events of a user. */
  version: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 31 - 1)),
  occurredAt: v.pipe(v.string(), v.isoTimestamp()),
};

const userData = v.object({ email: v.string(), name: v.string() });

export const UserEvent = v.variant("type", [
  v.object({ ...commonFields, type: v.literal("user.created"), data: userData }),
  v.object({ ...commonFields, type: v.literal("user.updated"), data: userData }),
  v.object({ ...commonFields, type: v.literal("user.deleted"), data: v.object({}) }),
]);
export type UserEvent = v.InferOutput<typeof UserEvent>;

/** Validates the body of a message. Throws an `Error` that lists what is wrong. */
export function parseUserEvent(body: unknown): UserEvent {
  const { success, output, issues } = v.safeParse(UserEvent, body);
  if (success) return output;
  const problems = issues.map((issue) => `${v.getDotPath(issue) ?? "body"}: ${issue.message}`);
  throw new Error(`Cannot read the message as it is not a user event: ${problems.join("; ")}`);
}

/**
 * Makes a change and its event one statement, so that neither is stored without the other. `change` must return `id` and
 * `version`, and, unless it deletes the user, `email` and `name`.
 */
export function withEvent<Row>(
  change: Sql<Row>,
  type: UserEvent["type"],
  keep?: KeepRows,
): Sql<Row> {
  const data = type === "user.deleted"
    ? sql`'{}'::jsonb`
    : sql`jsonb_build_object('email', email, 'name', name)`;
  return sql<Row>`
    with changed as (${change}), event as (
      insert into user_events (user_id, version, type, data)
      select id, version, ${type}, ${data} from changed
    )${keptPart(sql`changed`, keep)}
    select * from changed`;
}
