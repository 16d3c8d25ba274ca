/** The user, and the validation of users that clients send. A value is stored as it is or refused, never repaired. */

import * as v from "valibot";
import { fieldRejection } from "../value_message.ts";
import { Email } from "./email.ts";
import { Name } from "./name.ts";
import type { UserId } from "./user_id.ts";

export interface User {
  readonly id: UserId;
  readonly email: string;
  readonly name: string;
  /** Starts at 1; every change increments it. */
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

const fieldMessage = fieldRejection("a user", "the fields email and name");

export const NewUser = v.strictObject({ email: Email, name: Name }, fieldMessage);
export type NewUser = v.InferOutput<typeof NewUser>;

export const UserPatch = v.pipe(
  v.strictObject({ email: v.exactOptional(Email), name: v.exactOptional(Name) }, fieldMessage),
  v.check(
    (patch) => patch.email !== undefined || patch.name !== undefined,
    "it changes nothing: current value has no field; add email or name",
  ),
);
export type UserPatch = v.InferOutput<typeof UserPatch>;

/** The versions of the user at which a change is allowed. With `"any"` the last write wins. */
export type ExpectedVersions = readonly number[] | "any";
