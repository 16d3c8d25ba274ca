/** The body and the answer of `POST /users:batch`. */

import * as v from "valibot";
import { fieldRejection, rejection } from "../value_message.ts";
import { NewUser, type User } from "../users/user.ts";
import { MAX_BATCH_SIZE } from "../users/user_batch.ts";
import type { UserId } from "../users/user_id.ts";
import type { BodyBounds } from "./body.ts";
import type { BatchResultDocument } from "./documents.ts";
import type { InputError } from "./problem.ts";
import { userDocument } from "./user_document.ts";
import { EMAIL_TAKEN } from "./problem_of.ts";
import { inputErrors, parseObject } from "./validation.ts";

/** A user takes less than 4 KiB, even with each character written as an escape. */
const MAX_USER_BYTES = 4 * 1024;

export const BATCH_BOUNDS: BodyBounds = {
  maxBytes: (MAX_BATCH_SIZE + 1) * MAX_USER_BYTES,
  maxMs: 30_000,
};

/** Bodies of batches that a process waits for at once: 16 of 4 MB are as much as 1,000 of other bodies. */
export const MAX_BATCHES = 16;

const SIZE = `write 1 to ${MAX_BATCH_SIZE} users`;

/** What an item asks for: a user, or what is wrong with it. */
type ReadItem = { readonly user: NewUser } | { readonly errors: readonly InputError[] };

/**
 * Its items are validated one by one, so that one that is invalid refuses no other. Of an invalid item only the errors
 * stay: it may be nested deeper than `JSON.stringify` can follow, which an idempotency key would need.
 */
export const NewUsers = v.strictObject(
  {
    users: v.pipe(
      v.array(v.unknown(), rejection("it must be an array", SIZE)),
      v.minLength(1, () => `it is empty: current value has no users; ${SIZE}`),
      v.maxLength(
        MAX_BATCH_SIZE,
        ({ input }) => `it is too long: current value has ${input.length} users; ${SIZE}`,
      ),
      v.transform((users) => users.map(readItem)),
    ),
  },
  fieldRejection("a batch", "the field users"),
) as v.GenericSchema<{ users: NewUser[] }, { users: ReadItem[] }>;

function readItem(input: unknown, index: number): ReadItem {
  const result = parseObject(NewUser, input);
  if (result.success) return { user: result.output };
  return { errors: inputErrors(result.issues, pointerOf(index)) };
}

/** What a batch asks for: a user with an id, or what is wrong with an item. */
export type BatchItem =
  | { readonly user: NewUser & { readonly id: UserId } }
  | { readonly errors: readonly InputError[] };

/** The items in their order, each with the id of its place. */
export function batchItems(items: readonly ReadItem[], ids: readonly UserId[]): BatchItem[] {
  return items.map((item, index) =>
    "user" in item ? { user: { ...item.user, id: ids[index]! } } : item
  );
}

/** What became of each item: it was created, its address is taken, or it is invalid. */
export function batchResults(
  items: readonly BatchItem[],
  created: ReadonlyMap<UserId, User>,
): BatchResultDocument[] {
  return items.map((item, index) => {
    if ("errors" in item) return { status: "invalid", errors: [...item.errors] };
    const user = created.get(item.user.id);
    if (user !== undefined) return { status: "created", user: userDocument(user) };
    return {
      status: "conflict",
      errors: [{ pointer: `${pointerOf(index)}/email`, detail: EMAIL_TAKEN }],
    };
  });
}

function pointerOf(index: number): string {
  return `/users/${index}`;
}
