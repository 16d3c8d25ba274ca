/** Parameters of requests and headers of answers, each described once. */

import { UserId } from "../users/user_id.ts";
import type { HeaderObject, JsonSchema, ParameterObject } from "./openapi_types.ts";
import { jsonSchemaOf } from "./schemas.ts";

/** As `isPosition` of `src/db` has it. */
const POSITION = "^([0-9A-F]{8}-[0-9A-F]{8}-[0-9A-F]{16}|primary)$";

const PARAMETERS = {
  id: {
    in: "path",
    description: "The user's id.",
    required: true,
    get schema() {
      return jsonSchemaOf(UserId);
    },
  },
  kind: {
    in: "path",
    description: "The last part of a problem's `type`.",
    required: true,
    schema: { type: "string", examples: ["email-taken"] },
  },
  "If-Match": {
    in: "header",
    description:
      "The `ETag` of the version that you have read. If the user has another version by now, nothing is changed and the answer is 412. Without it, the last change wins.",
    schema: { type: "string", examples: ['"3"'] },
  },
  "Idempotency-Key": {
    in: "header",
    description:
      "Makes the request safe to repeat: 1 to 255 printable ASCII characters in double quotes, such as a new UUID for each new request. A request with the key of an earlier one changes nothing, and gets the answer to that one again, with `Idempotent-Replayed: true`, for at least 24 hours. A key is known to the client that sent it only.",
    schema: {
      type: "string",
      pattern: '^"([ !#-\\[\\]-~]|\\\\["\\\\])+"$',
      examples: ['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
    },
  },
  "If-None-Match": {
    in: "header",
    description:
      "The `ETag` of what you have. If it is still current, the answer is 304, without a body.",
    schema: { type: "string" },
  },
  "Database-Position": {
    in: "header",
    description:
      "The `Database-Position` of the answer to a change that this request must see. Without it, the answer may be some seconds old, where the service reads from replicas. Of several positions, send the one that is greatest as a text.",
    schema: {
      type: "string",
      pattern: POSITION,
      examples: ["A1B2C3D4-00000001-0000000001B84210"],
    },
  },
  "Request-Timeout": {
    in: "header",
    description:
      "How long you wait for the answer, in seconds, with up to three decimals. Work that takes longer is stopped, and the answer is 504. The service's own limits hold as well.",
    schema: {
      type: "string",
      pattern: "^[0-9]{1,4}([.][0-9]{1,3})?$",
      examples: ["2.5"],
    },
  },
} as const satisfies Readonly<Record<string, Omit<ParameterObject, "name">>>;

export type ParameterName = keyof typeof PARAMETERS;

export function parameter(name: ParameterName): ParameterObject {
  return { name, ...PARAMETERS[name] };
}

/** What the parameters of queries mean. Their valibot schemas are checks of a text. */
const QUERY: Readonly<Record<string, { description: string; schema?: JsonSchema }>> = {
  limit: {
    description: "The most entries that the page has.",
    schema: { type: "integer", minimum: 1, maximum: 200, default: 50 },
  },
  after: { description: "`next` of the page before." },
  cursor: { description: "`next` of the page before, with the same filters." },
  email: { description: "Only the user with this address; upper and lower case are the same." },
  namePrefix: {
    description:
      "Only users whose names begin so; upper and lower case of Latin, Greek, Cyrillic and Armenian letters are the same.",
  },
};

/** Throws an `Error` for a parameter that is not described here. */
export function queryParameter(name: string, schema: () => JsonSchema): ParameterObject {
  const known = QUERY[name];
  if (known === undefined) {
    throw new Error(
      `Cannot describe the query parameter ${name} as src/docs/parameters.ts does not have it; add it to QUERY`,
    );
  }
  return { name, in: "query", description: known.description, schema: known.schema ?? schema() };
}

const HEADERS = {
  ETag: {
    description:
      "The version of what is answered. A change that sends it as `If-Match` changes no later version.",
    required: true,
    schema: { type: "string", pattern: '^(W/)?"[^"]*"$', examples: ['"3"'] },
  },
  Location: {
    description: "The new user's address.",
    required: true,
    schema: { type: "string", format: "uri-reference" },
  },
  "Database-Position": {
    description:
      "Where the service reads from replicas: what a later GET sends to see this change. Opaque.",
    schema: { type: "string", pattern: POSITION },
  },
  "Idempotent-Replayed": {
    description:
      "`true` if this is the answer to an earlier request with the same `Idempotency-Key`.",
    schema: { type: "string", const: "true" },
  },
  Allow: {
    description: "The methods that the address supports.",
    required: true,
    schema: { type: "string" },
  },
  "Retry-After": {
    description: "Seconds to wait before the next try.",
    required: true,
    schema: { type: "string", pattern: "^[0-9]+$" },
  },
  "WWW-Authenticate": {
    description: "What the request lacks: `Bearer`, with `error` and `scope` as RFC 6750 has them.",
    required: true,
    schema: { type: "string", pattern: "^Bearer " },
  },
  "X-Request-Id": {
    description:
      "The request's id: that of the request's header, or a new one. The log has it too.",
    required: true,
    schema: { type: "string" },
  },
} as const satisfies Readonly<Record<string, HeaderObject>>;

export type HeaderName = keyof typeof HEADERS;

export function header(name: HeaderName): HeaderObject {
  return HEADERS[name];
}
