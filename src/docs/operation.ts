/** What the OpenAPI document says of one route, beside the schemas of its input and its answers. */

import type * as v from "valibot";
import type { ProblemKind } from "../http/problem.ts";
import type { HeaderName, ParameterName } from "./parameters.ts";
import type { SchemaName } from "./schemas.ts";

export type Tag = "Users" | "Service" | "Documentation";

export interface Answer {
  readonly description: string;
  /** By media type. Without content the body is empty. */
  readonly content?: Readonly<Record<string, SchemaName | "any" | "text">>;
  readonly headers?: readonly HeaderName[];
}

export interface Operation {
  readonly method: "get" | "post" | "patch" | "delete";
  /** As the routes of `src/http` have it. */
  readonly path: string;
  /** Stable: generated clients name their functions by it. */
  readonly id: string;
  readonly tag: Tag;
  readonly summary: string;
  readonly description?: string;
  /** Answered without a token. */
  readonly isPublic?: boolean;
  /** Parameters of the path and request headers. */
  readonly parameters?: readonly ParameterName[];
  /** The schema that validates the query. */
  readonly query?: v.ObjectSchema<v.ObjectEntries, undefined>;
  readonly body?: { readonly schema: SchemaName; readonly mediaTypes: readonly string[] };
  /** By status. */
  readonly answers: Readonly<Record<number, Answer>>;
  /** The kinds of problem that the request can be answered with. */
  readonly problems: readonly ProblemKind[];
}
