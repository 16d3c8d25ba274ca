/** The routes of the users API. */

import type { Context } from "hono";
import { Hono } from "../hono.ts";
import * as v from "valibot";
import { rejection } from "../value_message.ts";
import { NewUser, type User, UserPatch } from "../users/user.ts";
import { type Activity, listActivity } from "../users/user_activity.ts";
import { newUserId, UserId } from "../users/user_id.ts";
import { changeUser, createUser, deleteUser, listUsers, readUser } from "../users/user_store.ts";
import type { ActivityDocument, UserDocument } from "./documents.ts";
import { entityTag } from "./entity_tag.ts";
import type { BodyLimit } from "./body.ts";
import { type IdentityVariables, requireScope } from "./identity.ts";
import { isoTime } from "./iso_time.ts";
import { ifMatch, jsonInput, pathInput, queryInput } from "./inputs.ts";
import { onlyMethods } from "./only_methods.ts";
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
  after: v.exactOptional(UserId),
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
}

/** `/users`, `/users/:id` and `/users/:id/activity`. Needs `authenticate` before it. */
export function usersRoutes({ onChange, bodyLimit: limit }: UsersRoutesOptions) {
  return new Hono<UsersEnv>()
    .get("/users", requireScope("users:read"), queryInput(PageQuery), (c) => {
      const page = c.req.valid("query");
      return withSession(c, async (session) => {
        const { users, next } = await listUsers(session, page);
        return c.json({ users: users.map(userDocument), next });
      }, { readOnly: true });
    })
    .post("/users", requireScope("users:write"), jsonInput(NewUser, { limit }), async (c) => {
      const user = c.req.valid("json");
      // Made here, where it runs once, so that a retry inserts the same id.
      const id = newUserId();
      return await withSession(c, async (session) => {
        session.afterCommit(() => onChange(c));
        const created = await createUser(session, id, user);
        c.header("Location", `/users/${id}`);
        return respondWithUser(c, created, 201);
      });
    })
    .all("/users", onlyMethods("GET", "HEAD", "POST"))
    .get("/users/:id", requireScope("users:read"), userIdInput, (c) => {
      const { id } = c.req.valid("param");
      return withSession(c, async (session) => respondWithUser(c, await readUser(session, id)), {
        readOnly: true,
      });
    })
    .patch(
      "/users/:id",
      requireScope("users:write"),
      userIdInput,
      ifMatch,
      jsonInput(UserPatch, { mediaTypes: PATCH_TYPES, limit }),
      async (c) => {
        const [{ id }, { expected }, patch] = [
          c.req.valid("param"),
          c.req.valid("header"),
          c.req.valid("json"),
        ];
        return await withSession(c, async (session) => {
          session.afterCommit(() => onChange(c));
          return respondWithUser(c, await changeUser(session, id, patch, expected));
        });
      },
    )
    .delete("/users/:id", requireScope("users:write"), userIdInput, ifMatch, (c) => {
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
      requireScope("users:read"),
      userIdInput,
      queryInput(ActivityQuery),
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

const userIdInput = pathInput("id", UserId);

/** A JSON object without null members has the same effect as a merge patch. https://www.rfc-editor.org/rfc/rfc7396 */
export const PATCH_TYPES = ["application/json", "application/merge-patch+json"];

function respondWithUser<Status extends 200 | 201 = 200>(
  c: Context,
  user: User,
  status: Status = 200 as Status,
) {
  c.header("ETag", entityTag(user.version));
  return c.json(userDocument(user), status);
}

function activityDocument({ version, type, occurredAt }: Activity): ActivityDocument {
  return { version, type, occurredAt: isoTime(occurredAt) };
}

/** A user in responses; times are in ISO 8601. */
function userDocument(user: User): UserDocument {
  return {
    id: user.id,
    email: user.email,
    name: user.name,
    version: user.version,
    createdAt: isoTime(user.createdAt),
    updatedAt: isoTime(user.updatedAt),
  };
}
