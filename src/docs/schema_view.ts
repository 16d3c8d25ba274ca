/** JSON Schemas in words. */

import { html } from "hono/html";
import type { JsonSchema, OpenApiDocument } from "./openapi_types.ts";
import type { Html } from "./page.ts";

export interface Field {
  readonly name: string;
  readonly type: Html;
  readonly isRequired: boolean;
  /** Such as ` · at most 254 characters`. */
  readonly rules: string;
  readonly description: string | undefined;
}

/** The members of an object; none for another schema. */
export function fieldsOf(document: OpenApiDocument, schema: JsonSchema): Field[] {
  const { properties = {}, required = [] } = resolved(document, schema);
  return Object.entries(properties).map(([name, property]) => ({
    name,
    type: typeOf(property),
    isRequired: required.includes(name),
    rules: rulesOf(property),
    description: property.description,
  }));
}

export function typeOf(schema: JsonSchema): Html {
  const { $ref, type, format, anyOf, items } = schema;
  if ($ref !== undefined) {
    const name = nameOf($ref);
    return html`<a href="#schema-${name}">${name}</a>`;
  }
  if (anyOf !== undefined) {
    return html`${anyOf.map((each, index) => html`${index === 0 ? "" : " or "}${typeOf(each)}`)}`;
  }
  if ("const" in schema) return html`<code>${JSON.stringify(schema.const)}</code>`;
  if (type === "array") return html`array of ${typeOf(items ?? {})}`;
  return html`${type ?? "any value"}${format === undefined ? "" : ` (${format})`}`;
}

/** Such as ` · 1 to 200`. */
export function rulesOf(schema: JsonSchema): string {
  const { minLength, maxLength, minimum, maximum, minItems, maxItems } = schema;
  const fallback = schema.default;
  return [
    rangeOf(minLength, maxLength, " characters"),
    rangeOf(minimum, maximum, ""),
    rangeOf(minItems, maxItems, " entries"),
    fallback === undefined ? "" : `by default ${fallback}`,
  ].filter((rule) => rule !== "").map((rule) => ` · ${rule}`).join("");
}

function rangeOf(min: number | undefined, max: number | undefined, unit: string): string {
  if (min !== undefined && max !== undefined) return `${min} to ${max}${unit}`;
  if (max !== undefined) return `at most ${max}${unit}`;
  if (min === undefined) return "";
  return min === 1 && unit !== "" ? "not empty" : `at least ${min}${unit}`;
}

/** A value that the schema allows, where one is known. */
export function exampleOf(document: OpenApiDocument, schema: JsonSchema): unknown {
  const { examples, format } = resolved(document, schema);
  if (examples !== undefined) return examples[0];
  return format === "uuid" ? "019a4d2e-8c1b-7f3a-9d05-6f1c2b7a4e10" : undefined;
}

function resolved({ components }: OpenApiDocument, schema: JsonSchema): JsonSchema {
  return schema.$ref === undefined ? schema : components.schemas[nameOf(schema.$ref)] ?? {};
}

function nameOf(reference: string): string {
  return reference.slice(reference.lastIndexOf("/") + 1);
}
