/** The identity of a user: a UUIDv7, made by the service, so that a repeated unit of work inserts the same key. */

import { v7 } from "uuid";
import * as v from "valibot";
import { rejection } from "../value_message.ts";

/** Any UUID is accepted from outside; those made here sort by the time of their making. */
export const UserId = v.pipe(
  v.string(rejection("it must be a string", "write a UUID")),
  v.uuid(rejection("it is not a UUID", "write 8-4-4-4-12 hexadecimal digits")),
  v.toLowerCase(),
  v.brand("UserId"),
);
export type UserId = v.InferOutput<typeof UserId>;

/** A new id, greater than every other that this isolate made. */
export function newUserId(): UserId {
  return v7() as UserId;
}
