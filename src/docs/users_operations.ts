/** The routes of `src/http/users_routes.ts`. */

import { ActivityQuery, PageQuery, PATCH_TYPES } from "../http/users_routes.ts";
import type { Operation } from "./operation.ts";
import { ofBodies, ofChanges, ofDatabase, ofKeys } from "./problem_groups.ts";

const JSON_TYPE = "application/json";

export const usersOperations: readonly Operation[] = [
  {
    method: "get",
    path: "/users",
    id: "listUsers",
    tag: "Users",
    summary: "List users",
    description:
      "One page of users, ordered by the time of their creation; with `namePrefix` by name. Users that are created or deleted meanwhile change nothing of the others' places.",
    parameters: ["If-None-Match", "Database-Position"],
    query: PageQuery,
    answers: {
      200: {
        description: "A page of users.",
        content: { [JSON_TYPE]: "UserPage" },
        headers: ["ETag"],
      },
      304: { description: "What you have is current.", headers: ["ETag"] },
    },
    problems: [...ofDatabase],
  },
  {
    method: "post",
    path: "/users",
    id: "createUser",
    tag: "Users",
    summary: "Create a user",
    description:
      "The service makes the id. An e-mail address belongs to one user; upper and lower case are the same.",
    parameters: ["Idempotency-Key"],
    body: { schema: "NewUser", mediaTypes: [JSON_TYPE] },
    answers: {
      201: {
        description: "The new user.",
        content: { [JSON_TYPE]: "User" },
        headers: ["Location", "ETag", "Idempotent-Replayed", "Database-Position"],
      },
    },
    problems: ["email-taken", ...ofKeys, ...ofBodies, ...ofChanges],
  },
  {
    method: "post",
    path: "/users:batch",
    id: "createUsers",
    tag: "Users",
    summary: "Create many users",
    description:
      "Up to 1,000 users in one transaction. Each item is created, or not for a reason of its own: the answer tells what became of each, in their order. A failure of the whole request creates none.",
    parameters: ["Idempotency-Key"],
    body: { schema: "NewUsers", mediaTypes: [JSON_TYPE] },
    answers: {
      200: {
        description: "What became of each item.",
        content: { [JSON_TYPE]: "Batch" },
        headers: ["Idempotent-Replayed", "Database-Position"],
      },
    },
    problems: [...ofKeys, ...ofBodies, ...ofChanges],
  },
  {
    method: "get",
    path: "/users/:id",
    id: "readUser",
    tag: "Users",
    summary: "Read a user",
    parameters: ["id", "If-None-Match", "Database-Position"],
    answers: {
      200: { description: "The user.", content: { [JSON_TYPE]: "User" }, headers: ["ETag"] },
      304: { description: "What you have is current.", headers: ["ETag"] },
    },
    problems: ["user-not-found", "version-mismatch", ...ofDatabase],
  },
  {
    method: "patch",
    path: "/users/:id",
    id: "changeUser",
    tag: "Users",
    summary: "Change a user",
    description: "Fields that the body does not have stay as they are.",
    parameters: ["id", "If-Match", "Idempotency-Key"],
    body: { schema: "UserPatch", mediaTypes: PATCH_TYPES },
    answers: {
      200: {
        description: "The user after the change.",
        content: { [JSON_TYPE]: "User" },
        headers: ["ETag", "Idempotent-Replayed", "Database-Position"],
      },
    },
    problems: [
      "user-not-found",
      "email-taken",
      "version-mismatch",
      "precondition-required",
      ...ofKeys,
      ...ofBodies,
      ...ofChanges,
    ],
  },
  {
    method: "delete",
    path: "/users/:id",
    id: "deleteUser",
    tag: "Users",
    summary: "Delete a user",
    description: "Its history stays.",
    parameters: ["id", "If-Match"],
    answers: { 204: { description: "The user was deleted.", headers: ["Database-Position"] } },
    problems: ["user-not-found", "version-mismatch", "precondition-required", ...ofChanges],
  },
  {
    method: "get",
    path: "/users/:id/activity",
    id: "listActivity",
    tag: "Users",
    summary: "List a user's history",
    description:
      "The type and the time of each change, in the order of the versions. An entry appears shortly after its change. The history of a deleted user stays.",
    parameters: ["id", "Database-Position"],
    query: ActivityQuery,
    answers: {
      200: { description: "A page of the history.", content: { [JSON_TYPE]: "ActivityPage" } },
    },
    problems: ["user-not-found", ...ofDatabase],
  },
];
