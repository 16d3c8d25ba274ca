/** The OpenAPI document of the API, made of the schemas that the service validates with. */

import { type ProblemKind, problemKinds } from "../http/problem.ts";
import type {
  HeaderObject,
  OpenApiDocument,
  OperationObject,
  ParameterObject,
  ResponseObject,
} from "./openapi_types.ts";
import type { Answer, Operation } from "./operation.ts";
import {
  header,
  type HeaderName,
  parameter,
  type ParameterName,
  queryParameter,
} from "./parameters.ts";
import { ofAll, ofTokens } from "./problem_groups.ts";
import { jsonSchemaOf, namedSchemas, referenceTo } from "./schemas.ts";
import { serviceOperations } from "./service_operations.ts";
import { usersOperations } from "./users_operations.ts";

const VERSION = "0.1.0";

const DESCRIPTION = `Users, over HTTP and JSON.

Every refused or failed request is answered with a problem document (RFC 9457). Its \`type\` is the address of a page that says what happened and what to do: see [all kinds of problem](/problems).`;

const operations: readonly Operation[] = [...usersOperations, ...serviceOperations];

/** Throws an `Error` if a schema cannot be converted, or a parameter is not described. */
export function openApiDocument(): OpenApiDocument {
  return {
    openapi: "3.1.1",
    info: {
      title: "user-service",
      version: VERSION,
      description: DESCRIPTION,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/", description: "The service that has sent this document." }],
    tags: [
      { name: "Users", description: "The users and their history." },
      { name: "Service", description: "Whether the service works." },
      { name: "Documentation", description: "What the service says of itself." },
    ],
    paths: pathsOf(operations),
    components: {
      schemas: namedSchemas(),
      securitySchemes: {
        bearer: {
          type: "http",
          scheme: "bearer",
          description:
            "A token that the operators have given you, or a JWT of the issuer that they have named. It needs the scope `users:read` to read, and `users:write` to change.",
        },
      },
    },
  };
}

/** `/users/:id` of a route is `/users/{id}` in the document. */
export function templateOf(path: string): string {
  return path.replaceAll(/(?<=\/):(\w+)/g, "{$1}");
}

function pathsOf(all: readonly Operation[]): OpenApiDocument["paths"] {
  const paths: Record<string, Record<string, OperationObject>> = {};
  for (const operation of all) {
    (paths[templateOf(operation.path)] ??= {})[operation.method] = operationObject(operation);
  }
  return paths;
}

function operationObject(operation: Operation): OperationObject {
  const { id, tag, summary, description, isPublic = false, body, answers } = operation;
  const parameters = parametersOf(operation);
  const success = Object.entries(answers).map(([status, answer]) => [status, answered(answer)]);
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: isPublic ? [] : [{ bearer: [scopeOf(operation)] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : {
      requestBody: {
        required: true,
        content: Object.fromEntries(
          body.mediaTypes.map((type) => [type, { schema: referenceTo(body.schema) }]),
        ),
      },
    }),
    responses: Object.fromEntries([...success, ...problemResponses(operation)]),
  };
}

/** `requireScope` of the route asks for it. OpenAPI 3.1 calls it a role. */
function scopeOf({ method }: Operation): "users:read" | "users:write" {
  return method === "get" ? "users:read" : "users:write";
}

function parametersOf({ parameters: own = [], query, problems }: Operation): ParameterObject[] {
  const parameters: ParameterName[] = problems.includes("deadline-exceeded")
    ? [...own, "Request-Timeout"]
    : [...own];
  const inQuery = Object.entries(query?.entries ?? {})
    .map(([name, schema]) => queryParameter(name, () => jsonSchemaOf(schema)));
  return [...parameters.map(parameter), ...inQuery];
}

function answered({ description, content, headers = [] }: Answer): ResponseObject {
  const contents = Object.entries(content ?? {}).map(([type, name]) => {
    const schema = name === "text" ? { type: "string" } : name === "any" ? {} : referenceTo(name);
    return [type, { schema }];
  });
  return {
    description,
    headers: headersOf(["X-Request-Id", ...headers]),
    ...(contents.length === 0 ? {} : { content: Object.fromEntries(contents) }),
  };
}

function headersOf(names: readonly HeaderName[]): Record<string, HeaderObject> {
  return Object.fromEntries(names.map((name) => [name, header(name)]));
}

/** The headers that every problem of a status has. */
const HEADERS_OF_PROBLEMS: Readonly<Record<number, readonly HeaderName[]>> = {
  401: ["WWW-Authenticate"],
  403: ["WWW-Authenticate"],
  412: ["ETag"],
  429: ["Retry-After"],
  503: ["Retry-After"],
};

/** One response for each status, with all kinds of problem that have it. */
function problemResponses(
  { problems, isPublic = false }: Operation,
): [string, ResponseObject][] {
  const kinds = [...new Set([...problems, ...(isPublic ? [] : ofTokens), ...ofAll])];
  const byStatus = Map.groupBy(kinds, (kind) => problemKinds[kind][0]);
  return [...byStatus].sort(([a], [b]) => a - b)
    .map(([status, kinds]) => [String(status), problemResponse(status, kinds)]);
}

function problemResponse(status: number, kinds: readonly ProblemKind[]): ResponseObject {
  const types = kinds.map((kind) => `/problems/${kind}`);
  const headers = HEADERS_OF_PROBLEMS[status] ?? [];
  return {
    description: kinds.map((kind) => `${problemKinds[kind][1]} ([${kind}](/problems/${kind})).`)
      .join(" "),
    headers: headersOf(["X-Request-Id", ...headers]),
    content: {
      "application/problem+json": {
        schema: {
          allOf: [
            referenceTo("Problem"),
            { properties: { type: { enum: types }, status: { const: status } } },
          ],
        },
      },
    },
  };
}
