/** The user, and the validation of users that clients send. A value is stored as it is or refused, never repaired. */

import * as v from "valibot";
import { rejection } from "../value_message.ts";
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

/** https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.3: a path has at most 256 octets, two of them brackets. */
const MAX_EMAIL_LENGTH = 254;
const MAX_NAME_LENGTH = 200;

/** `rfcEmail` accepts ASCII only, so `lower(email)` gives the same result under every collation. */
const Email = v.pipe(
  v.string(rejection("it must be a string", "write it as name@host")),
  v.maxLength(
    MAX_EMAIL_LENGTH,
    rejection("it is too long", `write at most ${MAX_EMAIL_LENGTH} characters`),
  ),
  v.rfcEmail(rejection("it is not an e-mail address", "write it as name@host, without spaces")),
);

const Name = v.pipe(
  v.string(rejection("it must be a string", "write a name")),
  v.nonEmpty(rejection("it is empty", `write 1 to ${MAX_NAME_LENGTH} characters`)),
  v.maxLength(
    MAX_NAME_LENGTH,
    rejection("it is too long", `write at most ${MAX_NAME_LENGTH} characters`),
  ),
  v.check((name) => name.trim() === name, rejection("it has white space at an end", "remove it")),
  v.check(
    isPlainText,
    rejection("it contains control characters or half of a surrogate pair", "remove them"),
  ),
);

/** PostgreSQL's `text` accepts neither NUL nor lone surrogates. The other control characters have no use in a name. */
function isPlainText(text: string): boolean {
  return text.isWellFormed() && !/\p{Cc}/u.test(text);
}

/** Message of a valibot object for a missing field, for an unknown field, and for a value that is not an object. */
function fieldMessage(issue: { input: unknown; expected: string | null }): string {
  if (issue.expected === "never") return "it is not a field of a user; remove it";
  if (issue.expected === "Object") {
    return rejection("it must be an object", "write a JSON object with the fields email and name")(
      issue,
    );
  }
  return "it is required: current value is none; add it";
}

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
