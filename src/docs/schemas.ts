/** The named schemas of the document, made of the valibot schemas that validate input and type the answers. */

import { type ConversionConfig, toJsonSchema, toJsonSchemaDefs } from "@valibot/to-json-schema";
import * as v from "valibot";
import {
  ActivityDocument,
  ActivityPageDocument,
  AliveDocument,
  BatchDocument,
  ProblemDocument,
  ProblemKindDocument,
  ProblemKindsDocument,
  ReadyDocument,
  UserDocument,
  UserPageDocument,
} from "../http/documents.ts";
import { NewUser, UserPatch } from "../users/user.ts";
import { MAX_BATCH_SIZE } from "../users/user_batch.ts";
import type { JsonSchema } from "./openapi_types.ts";

/** The service validates the items one by one. */
const NewUsersDocument = v.strictObject({
  users: v.pipe(v.array(NewUser), v.minLength(1), v.maxLength(MAX_BATCH_SIZE)),
});

const NAMED = {
  User: UserDocument,
  UserPage: UserPageDocument,
  NewUser,
  UserPatch,
  NewUsers: NewUsersDocument,
  Batch: BatchDocument,
  Activity: ActivityDocument,
  ActivityPage: ActivityPageDocument,
  Alive: AliveDocument,
  Ready: ReadyDocument,
  Problem: ProblemDocument,
  ProblemKind: ProblemKindDocument,
  ProblemKinds: ProblemKindsDocument,
} as const;

export type SchemaName = keyof typeof NAMED;

const USER = {
  id: "019a4d2e-8c1b-7f3a-9d05-6f1c2b7a4e10",
  email: "ada@example.com",
  name: "Ada Lovelace",
  version: 1,
  createdAt: "2026-11-28T09:30:00.000Z",
  updatedAt: "2026-11-28T09:30:00.000Z",
};

const PROBLEM = {
  type: "/problems/invalid-body",
  status: 422,
  title: "The body is well-formed but not valid",
  detail: "Cannot use the body as the fields listed in errors are not valid; correct them",
  errors: [{
    pointer: "/name",
    detail: 'it is empty: current value ""; write 1 to 200 characters',
  }],
  requestId: "3f0c9a52-6a0e-4d7e-9a55-0a1b2c3d4e5f",
};

/** What the schemas of the service do not say: rules that are code, and examples. */
const ADDITIONS: Readonly<Partial<Record<SchemaName, JsonSchema>>> = {
  User: { examples: [USER] },
  UserPage: { examples: [{ users: [USER], next: null }] },
  NewUser: {
    description:
      "The name has at most 200 code points, in Unicode's normalization form C, without white space at its ends and without characters that have no look of their own. The address is one of RFC 5321 in ASCII, without a quoted local part.",
    examples: [{ email: USER.email, name: USER.name }],
  },
  NewUsers: { examples: [{ users: [{ email: USER.email, name: USER.name }] }] },
  Batch: {
    examples: [{
      results: [
        { status: "created", user: USER },
        {
          status: "conflict",
          errors: [{
            pointer: "/users/1/email",
            detail: "it is taken; upper and lower case are the same",
          }],
        },
      ],
    }],
  },
  UserPatch: {
    description: "At least one of the fields, each as in NewUser.",
    minProperties: 1,
    examples: [{ name: USER.name }],
  },
  Activity: {
    examples: [{ version: 1, type: "user.created", occurredAt: USER.createdAt }],
  },
  ActivityPage: {
    examples: [{
      activity: [{ version: 1, type: "user.created", occurredAt: USER.createdAt }],
      next: null,
    }],
  },
  Alive: { examples: [{ status: "alive" }] },
  Ready: { examples: [{ status: "ready" }] },
  Problem: { description: "A problem document (RFC 9457).", examples: [PROBLEM] },
};

/** Actions of valibot that have no form in JSON Schema: `ADDITIONS` says in words what they check. */
const CODE = ["brand", "check", "raw_check", "to_lower_case", "transform"];

const CONFIG: ConversionConfig = {
  target: "draft-2020-12",
  typeMode: "input",
  overrideAction: ({ valibotAction, jsonSchema }) =>
    CODE.includes(valibotAction.type) ? jsonSchema : undefined,
  overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
};

/** All named schemas, for `components`. Throws an `Error` if one has a rule that JSON Schema cannot say. */
export function namedSchemas(): Readonly<Record<SchemaName, JsonSchema>> {
  const converted = toJsonSchemaDefs(NAMED, CONFIG) as Record<SchemaName, JsonSchema>;
  const entries = Object.entries(converted) as [SchemaName, JsonSchema][];
  return Object.fromEntries(
    entries.map(([name, schema]) => [name, { ...schema, ...ADDITIONS[name] }]),
  ) as Record<SchemaName, JsonSchema>;
}

export function referenceTo(name: SchemaName): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

/** A schema without a name, such as that of a parameter. */
export function jsonSchemaOf(schema: v.GenericSchema): JsonSchema {
  const { $schema: _, ...rest } = toJsonSchema(schema, CONFIG);
  return rest as JsonSchema;
}
