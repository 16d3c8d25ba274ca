/**
 * The bodies of responses, as valibot schemas: the OpenAPI document is made of them, and the types of the handlers and of
 * the client. The service does not validate what it sends, so that handlers import only the types.
 */

import * as v from "valibot";

const Uuid = v.pipe(v.string(), v.uuid());
const Time = v.pipe(v.string(), v.isoTimestamp());
const Version = v.pipe(
  v.number(),
  v.integer(),
  v.minValue(1),
  v.description("Starts at 1; every change increments it."),
);

export const UserDocument = v.object({
  id: Uuid,
  email: v.string(),
  name: v.string(),
  version: Version,
  createdAt: Time,
  updatedAt: Time,
});
export type UserDocument = v.InferOutput<typeof UserDocument>;

export const UserPageDocument = v.object({
  users: v.array(UserDocument),
  next: v.pipe(
    v.nullable(v.string()),
    v.description("The `cursor` of the next page; null on the last one."),
  ),
});
export type UserPageDocument = v.InferOutput<typeof UserPageDocument>;

const InputErrorDocument = v.object({
  pointer: v.exactOptional(
    v.pipe(v.string(), v.description("Place in the body, as a JSON Pointer (RFC 6901).")),
  ),
  parameter: v.exactOptional(
    v.pipe(v.string(), v.description("Parameter of the query or the path.")),
  ),
  header: v.exactOptional(v.pipe(v.string(), v.description("Name of the header."))),
  detail: v.pipe(v.string(), v.description("What is wrong with it, and what to send instead.")),
});

/** What became of one item of a batch. */
export const BatchResultDocument = v.variant("status", [
  v.object({ status: v.literal("created"), user: UserDocument }),
  v.object({
    status: v.pipe(
      v.literal("conflict"),
      v.description("Another user has the address, or an earlier item of the batch."),
    ),
    errors: v.array(InputErrorDocument),
  }),
  v.object({
    status: v.pipe(v.literal("invalid"), v.description("The item is not a valid user.")),
    errors: v.array(InputErrorDocument),
  }),
]);
export type BatchResultDocument = v.InferOutput<typeof BatchResultDocument>;

export const BatchDocument = v.object({
  results: v.pipe(
    v.array(BatchResultDocument),
    v.description("One for each item, in their order."),
  ),
});

export const ActivityDocument = v.object({
  version: Version,
  type: v.pipe(
    v.string(),
    v.description("user.created, user.updated or user.deleted; later versions may add others."),
  ),
  occurredAt: Time,
});
export type ActivityDocument = v.InferOutput<typeof ActivityDocument>;

export const ActivityPageDocument = v.object({
  activity: v.array(ActivityDocument),
  next: v.pipe(
    v.nullable(Version),
    v.description("The `after` of the next page; null on the last one."),
  ),
});
export type ActivityPageDocument = v.InferOutput<typeof ActivityPageDocument>;

export const AliveDocument = v.object({ status: v.literal("alive") });

export const ReadyDocument = v.object({
  status: v.literal("ready"),
  newerMigrations: v.exactOptional(
    v.pipe(v.array(v.string()), v.description("Migrations of a newer version of the service.")),
  ),
});

/** https://www.rfc-editor.org/rfc/rfc9457#section-3.1 */
export const ProblemDocument = v.object({
  type: v.pipe(
    v.string(),
    v.description(
      "Address of a page about this kind of problem. Compare it to tell problems apart.",
    ),
  ),
  status: v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599)),
  title: v.string(),
  detail: v.pipe(v.string(), v.description("What happened, and what to do.")),
  errors: v.exactOptional(
    v.pipe(v.array(InputErrorDocument), v.description("The errors in the request's input.")),
  ),
  requestId: v.exactOptional(
    v.pipe(v.string(), v.description("The response's X-Request-Id, which the log has too.")),
  ),
});
export type ProblemDocument = v.InferOutput<typeof ProblemDocument>;

export const ProblemKindDocument = v.object({
  type: v.pipe(v.string(), v.description("The `type` of problem documents of this kind.")),
  status: v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599)),
  title: v.string(),
  happened: v.pipe(v.string(), v.description("What happened, and what has been changed.")),
  toDo: v.pipe(v.string(), v.description("What the client, or its programmer, can do.")),
});
export type ProblemKindDocument = v.InferOutput<typeof ProblemKindDocument>;

export const ProblemKindsDocument = v.object({ problems: v.array(ProblemKindDocument) });
export type ProblemKindsDocument = v.InferOutput<typeof ProblemKindsDocument>;
