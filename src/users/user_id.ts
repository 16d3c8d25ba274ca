/** Ids of users: UUIDv7. The service makes the id before the unit of work, so a retried unit inserts the same key. */

import { v7 } from "uuid";
import * as v from "valibot";
import { rejection } from "../value_message.ts";

/** Accepts any UUID. The ids that `newUserId` makes sort by creation time. */
export const UserId = v.pipe(
  v.string(rejection("it must be a string", "write a UUID")),
  v.uuid(rejection("it is not a UUID", "write 8-4-4-4-12 hexadecimal digits")),
  v.toLowerCase(),
  v.brand("UserId"),
);
export type UserId = v.InferOutput<typeof UserId>;

/** A new id, greater than every id that this isolate made before. */
export function newUserId(): UserId {
  return v7() as UserId;
}
