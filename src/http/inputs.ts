/**
 * Validators of a route's input: middleware before its handler, which reads the result by `c.req.valid()`. Their types
 * are part of the route's, so that the client of `client.ts` knows what to send.
 */

import type { Context, Input } from "hono";
import type * as v from "valibot";
import type { ExpectedVersions } from "../users/user.ts";
import { type EntityTags, expectedVersions, knownTags } from "./entity_tag.ts";
import { type JsonBodyOptions, readJsonBody } from "./json_body.ts";
import type { Step } from "../chain.ts";
import { ProblemError } from "./problem.ts";
import { validPathParameter, validQuery } from "./validation.ts";

/** What a client sends; it may leave out what has no required member. */
type Sent<Target extends string, Value> = Record<never, never> extends Value
  ? { [T in Target]?: Value }
  : { [T in Target]: Value };

type Validator<Target extends string, Sends, Value> = Step<
  { in: Sent<Target, Sends>; out: { [T in Target]: Value } }
>;

/** The body as `schema` types it. Refuses what `readJsonBody` refuses. */
export function jsonInput<Schema extends v.GenericSchema>(
  schema: Schema,
  options?: JsonBodyOptions,
): Validator<"json", v.InferInput<Schema>, v.InferOutput<Schema>> {
  return validator("json", (c) => readJsonBody(c, schema, options));
}

/** The query as `schema` types it. Refuses what `validQuery` refuses. */
export function queryInput<Entries extends v.ObjectEntries>(
  schema: v.ObjectSchema<Entries, undefined>,
): Validator<
  "query",
  v.InferInput<v.ObjectSchema<Entries, undefined>>,
  v.InferOutput<v.ObjectSchema<Entries, undefined>>
> {
  return validator("query", (c) => validQuery(c, schema));
}

/** One parameter of the path as `schema` types it. Refuses what `validPathParameter` refuses. */
export function pathInput<Name extends string, Schema extends v.GenericSchema>(
  name: Name,
  schema: Schema,
): Validator<"param", { [N in Name]: string }, { [N in Name]: v.InferOutput<Schema> }> {
  return validator("param", (c) => ({ [name]: validPathParameter(c, name, schema) }));
}

/**
 * The versions that a change may be made of, by `If-Match`. Refuses what `expectedVersions` refuses, and `If-None-Match`,
 * which asks for nothing that a change of a user could mean. With `isRequired`, a request without `If-Match` gets 428.
 */
export function ifMatch(
  { isRequired = false }: { readonly isRequired?: boolean | undefined } = {},
): Validator<"header", { "If-Match"?: string }, { expected: ExpectedVersions }> {
  return validator("header", (c) => {
    const header = c.req.header("If-Match");
    if (c.req.header("If-None-Match") !== undefined) throw meaningless("If-None-Match", "If-Match");
    if (isRequired && header === undefined) throw preconditionRequired();
    return { expected: expectedVersions(header) };
  });
}

/**
 * What the client of a GET has, by `If-None-Match`, and the versions that it expects, by `If-Match`. Refuses what
 * `knownTags` and `expectedVersions` refuse.
 */
export const conditions: Validator<
  "header",
  { "If-None-Match"?: string; "If-Match"?: string },
  { known: EntityTags; expected: ExpectedVersions }
> = validator("header", (c) => ({
  known: knownTags(c.req.header("If-None-Match")),
  expected: expectedVersions(c.req.header("If-Match")),
}));

function meaningless(header: string, instead: string): ProblemError {
  const detail = `it has no meaning for this method; send ${instead}`;
  return new ProblemError("malformed-request", {
    detail: `Cannot use ${header} as ${detail}`,
    errors: [{ header, detail }],
  });
}

/** https://www.rfc-editor.org/rfc/rfc6585#section-3 */
function preconditionRequired(): ProblemError {
  const detail =
    "it is required for a change: current value is none; send the ETag of the user that you have read";
  return new ProblemError("precondition-required", {
    detail: `Cannot change the user without If-Match as ${detail}`,
    errors: [{ header: "If-Match", detail }],
  });
}

function validator<I extends Input>(
  target: "json" | "query" | "param" | "header",
  // deno-lint-ignore no-explicit-any -- the type is in the signatures above
  read: (c: Context) => any,
): Step<I> {
  return function validateInput(c, next) {
    const value = read(c);
    const pass = (value: object) => {
      c.req.addValidatedData(target, value);
      return next();
    };
    return value instanceof Promise ? value.then(pass) : pass(value);
  };
}
