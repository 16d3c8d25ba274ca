/** Validates input with valibot, and turns its issues into problem documents. */

import type { Context } from "hono";
import * as v from "valibot";
import { preview } from "../value_message.ts";
import { type InputError, ProblemError } from "./problem.ts";

/** `value` as `schema` types it. Throws `ProblemError` (422) with a JSON Pointer for each invalid field. */
export function validBody<Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
): v.InferOutput<Schema> {
  const result = parseObject(schema, value);
  if (result.success) return result.output;
  throw new ProblemError("invalid-body", {
    detail: "Cannot use the body as the fields listed in errors are not valid; correct them",
    errors: inputErrors(result.issues),
  });
}

/** As `v.safeParse`, which would accept an array as an object without fields. */
export function parseObject<Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
): v.SafeParseResult<Schema> {
  return v.safeParse(schema, Array.isArray(value) ? null : value, { abortPipeEarly: true });
}

/** The issues of a value in a body; `base` is the pointer to the value. */
export function inputErrors(
  issues: readonly v.BaseIssue<unknown>[],
  base = "",
): InputError[] {
  return issues.map((issue) => ({ pointer: base + pointerOf(issue), detail: issue.message }));
}

/** https://www.rfc-editor.org/rfc/rfc6901#section-3 */
function pointerOf(issue: v.BaseIssue<unknown>): string {
  const keys = issue.path?.map(({ key }) => String(key)) ?? [];
  return keys.map((key) => `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** The query as `schema` types it. Throws `ProblemError` (400), also for unknown and repeated parameters. */
export function validQuery<Entries extends v.ObjectEntries>(
  c: Context,
  schema: v.ObjectSchema<Entries, undefined>,
): v.InferOutput<v.ObjectSchema<Entries, undefined>> {
  const given = new Map<string, string>();
  for (const [name, value] of searchParamsOf(c.req.url)) {
    const known = Object.keys(schema.entries);
    const detail = !known.includes(name)
      ? `it is unknown; use ${known.join(" or ")}`
      : given.has(name)
      ? "it is repeated; send it once"
      : undefined;
    if (detail !== undefined) throw badParameters([{ parameter: previewName(name), detail }]);
    given.set(name, value);
  }
  const result = v.safeParse(schema, Object.fromEntries(given), { abortPipeEarly: true });
  if (result.success) return result.output;
  throw badParameters(result.issues.map((issue) => ({
    parameter: v.getDotPath(issue) ?? "",
    detail: issue.message,
  })));
}

/** Does not use `new URL`, which throws if the client's Host header is invalid: on Deno, `url` contains that header. */
function searchParamsOf(url: string): URLSearchParams {
  const start = url.indexOf("?");
  return new URLSearchParams(start === -1 ? "" : url.slice(start));
}

/** A path parameter as `schema` types it. Throws `ProblemError` (400). */
export function validPathParameter<Schema extends v.GenericSchema>(
  c: Context,
  name: string,
  schema: Schema,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, c.req.param(name));
  if (result.success) return result.output;
  throw badParameters([{ parameter: name, detail: result.issues[0].message }]);
}

function badParameters(errors: readonly InputError[]): ProblemError {
  return new ProblemError("malformed-request", {
    detail: "Cannot use the address as the parameters listed in errors are not valid; correct them",
    errors,
  });
}

function previewName(name: string): string {
  return preview(name).replace(/^"|"$/g, "");
}
