/** The routes of the users API. */

import type { Context, TypedResponse } from "hono";
import { Hono } from "../hono.ts";
import * as v from "valibot";
import { chain } from "../chain.ts";
import { rejection } from "../value_message.ts";
import { Email } from "../users/email.ts";
import { NamePrefix } from "../users/name.ts";
import { NewUser, type User, UserPatch } from "../users/user.ts";
import { type Activity, listActivity } from "../users/user_activity.ts";
import { newUserId, UserId } from "../users/user_id.ts";
import { createUsers } from "../users/user_batch.ts";
import { VersionMismatchError } from "../users/user_errors.ts";
import { listUsers } from "../users/user_list.ts";
import { changeUser, createUser, deleteUser, readUser } from "../users/user_store.ts";
import type { BodyLimit } from "./body.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import type { ActivityDocument } from "./documents.ts";
import { entityTag, isKnown, textTag } from "./entity_tag.ts";
import { withIdempotency } from "./idempotency.ts";
import { type IdentityVariables, requireScope } from "./identity.ts";
import { conditions, ifMatch, jsonInput, pathInput, queryInput } from "./inputs.ts";
import { isoTime } from "./iso_time.ts";
import { onlyMethods } from "./only_methods.ts";
import { withHeaders } from "./response_headers.ts";
import type { SharedUsers } from "./shared_users.ts";
import { userDocument } from "./user_document.ts";
import { BATCH_BOUNDS, batchItems, batchResults, MAX_BATCHES, NewUsers } from "./users_batch.ts";
import { withSession } from "../library/hono/mod.ts";

type UsersEnv = { Variables: IdentityVariables };

const MAX_PAGE_SIZE = 200;

const Limit = v.optional(
  v.pipe(
    v.string(),
    v.check(
      (limit) => /^[1-9]\d{0,2}$/.test(limit) && Number(limit) <= MAX_PAGE_SIZE,
      rejection(`it must be a whole number from 1 to ${MAX_PAGE_SIZE}`, "write digits only"),
    ),
    v.transform(Number),
  ),
  "50",
);

export const PageQuery = v.object({
  limit: Limit,
  cursor: v.exactOptional(v.string()),
  email: v.exactOptional(Email),
  namePrefix: v.exactOptional(NamePrefix),
});

export const ActivityQuery = v.object({
  limit: Limit,
  after: v.optional(
    v.pipe(
      v.string(),
      v.check(
        (version) => /^(?:0|[1-9]\d{0,8})$/.test(version),
        rejection("it must be a version number", "write digits only"),
      ),
      v.transform(Number),
    ),
    "0",
  ),
});

export interface UsersRoutesOptions {
  /** Called after the commit of a change to a user. */
  readonly onChange: (c: Context) => void | Promise<void>;
  readonly bodyLimit?: BodyLimit | undefined;
  /** Whether a change without `If-Match` is refused. */
  readonly requiresIfMatch?: boolean | undefined;
  /** Lets creates, and reads by id, that come together share a transaction. Without it each has its own. */
  readonly shared?: SharedUsers | undefined;
}

/** `/users`, `/users:batch`, `/users/:id` and `/users/:id/activity`. Needs `authenticate` before it. */
export function usersRoutes(
  { onChange, bodyLimit: limit, requiresIfMatch: isRequired, shared }: UsersRoutesOptions,
) {
  const expectedVersion = ifMatch({ isRequired });
  const batchLimit = limit?.of(MAX_BATCHES);
  return new Hono<UsersEnv>()
    .get("/users", chain(mayRead, queryInput(PageQuery), conditions), async (c) => {
      const { limit, cursor, ...filter } = c.req.valid("query");
      const { known } = c.req.valid("header");
      const after = cursor === undefined ? undefined : decodeCursor(cursor, filter);
      const { users, next } = await withSession(
        c,
        (session) => listUsers(session, { limit, after, ...filter }),
        { readOnly: true },
      );
      const page = {
        users: users.map(userDocument),
        next: next === null ? null : encodeCursor(next, filter),
      };
      const text = JSON.stringify(page);
      const ETag = await textTag(text);
      if (isKnown(known, ETag)) return withHeaders(c.body(null, 304), { ETag });
      // `c.json(page)` would write the same text once more.
      const response: Response = c.body(text, 200, { "Content-Type": "application/json" });
      return withHeaders(response as Response & TypedResponse<typeof page, 200, "json">, { ETag });
    })
    .post("/users", chain(mayWrite, jsonInput(NewUser, { limit })), async (c) => {
      const user = c.req.valid("json");
      // Made here, where it runs once, so that a retry inserts the same id.
      const made = newUserId();
      const onCommitted = () => onChange(c);
      const alone = () =>
        withIdempotency(c, made, (session, id) => {
          session.afterCommit(onCommitted);
          return createUser(session, id, user);
        });
      const create = { user: { ...user, id: made }, onCommitted };
      const created = await (shared?.creates.run(c, { item: create, alone }) ?? alone());
      return withHeaders(respondWithUser(c, created, 201), { Location: `/users/${created.id}` });
    })
    .all("/users", onlyMethods("GET", "HEAD", "POST"))
    .post(
      "/users:batch",
      chain(mayWrite, jsonInput(NewUsers, { limit: batchLimit, bounds: BATCH_BOUNDS })),
      async (c) => {
        const { users } = c.req.valid("json");
        return await withIdempotency(c, users.map(() => newUserId()), async (session, ids) => {
          const items = batchItems(users, ids);
          const valid = items.flatMap((item) => "user" in item ? [item.user] : []);
          if (valid.length === 0) return c.json({ results: batchResults(items, new Map()) });
          session.afterCommit(() => onChange(c));
          const created = await createUsers(session, valid);
          return c.json({ results: batchResults(items, created) });
        });
      },
    )
    .all("/users:batch", onlyMethods("POST"))
    .get("/users/:id", chain(mayRead, userIdInput, conditions), async (c) => {
      const { id } = c.req.valid("param");
      const { known, expected } = c.req.valid("header");
      const alone = () => withSession(c, (session) => readUser(session, id), { readOnly: true });
      const user = await (shared?.reads.run(c, { item: id, alone }) ?? alone());
      if (expected !== "any" && !expected.includes(user.version)) {
        throw new VersionMismatchError(user.version);
      }
      const ETag = entityTag(user.version);
      return isKnown(known, ETag)
        ? withHeaders(c.body(null, 304), { ETag })
        : respondWithUser(c, user);
    })
    .patch(
      "/users/:id",
      chain(
        mayWrite,
        userIdInput,
        expectedVersion,
        jsonInput(UserPatch, { mediaTypes: PATCH_TYPES, limit }),
      ),
      async (c) => {
        const [{ id }, { expected }, patch] = [
          c.req.valid("param"),
          c.req.valid("header"),
          c.req.valid("json"),
        ];
        return await withIdempotency(c, null, async (session) => {
          session.afterCommit(() => onChange(c));
          return respondWithUser(c, await changeUser(session, id, patch, expected));
        });
      },
    )
    .delete("/users/:id", chain(mayWrite, userIdInput, expectedVersion), (c) => {
      const [{ id }, { expected }] = [c.req.valid("param"), c.req.valid("header")];
      return withSession(c, async (session) => {
        session.afterCommit(() => onChange(c));
        await deleteUser(session, id, expected);
        return c.body(null, 204);
      });
    })
    .all("/users/:id", onlyMethods("GET", "HEAD", "PATCH", "DELETE"))
    .get(
      "/users/:id/activity",
      chain(mayRead, userIdInput, queryInput(ActivityQuery)),
      (c) => {
        const [{ id }, page] = [c.req.valid("param"), c.req.valid("query")];
        return withSession(c, async (session) => {
          const { activity, next } = await listActivity(session, id, page);
          return c.json({ activity: activity.map(activityDocument), next });
        }, { readOnly: true });
      },
    )
    .all("/users/:id/activity", onlyMethods("GET", "HEAD"));
}

const mayRead = requireScope("users:read");
const mayWrite = requireScope("users:write");
const userIdInput = pathInput("id", UserId);

/** A JSON object without null members has the same effect as a merge patch. https://www.rfc-editor.org/rfc/rfc7396 */
export const PATCH_TYPES = ["application/json", "application/merge-patch+json"];

function respondWithUser<Status extends 200 | 201 = 200>(
  c: Context,
  user: User,
  status: Status = 200 as Status,
) {
  return withHeaders(c.json(userDocument(user), status), { ETag: entityTag(user.version) });
}

function activityDocument({ version, type, occurredAt }: Activity): ActivityDocument {
  return { version, type, occurredAt: isoTime(occurredAt) };
}
