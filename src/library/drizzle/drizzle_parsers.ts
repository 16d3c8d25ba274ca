/**
 * What Drizzle's columns expect of a driver: they do the conversion themselves, from text. The driver for node-postgres
 * sets the same parsers (drizzle-orm/node-postgres/session.js).
 */
import { Column, is, SQL, Subquery } from "drizzle-orm";
import { PgArray, PgJson, PgJsonb, type SelectedFieldsOrdered } from "drizzle-orm/pg-core";
import { arrayOf, type Parse, type TypeParsers } from "../../db/mod.ts";

/** Stay text. By the ids of the type and of its arrays. https://www.postgresql.org/docs/current/catalog-pg-type.html */
const TEXT_TYPES: readonly (readonly [typeId: number, arrayTypeId: number])[] = [
  [20, 1016], // int8
  [1082, 1182], // date
  [1083, 1183], // time
  [1114, 1115], // timestamp
  [1184, 1185], // timestamptz
  [1186, 1187], // interval
  [1266, 1270], // timetz
  [1700, 1231], // numeric
];

const JSON_TYPES: readonly (readonly [typeId: number, arrayTypeId: number])[] = [
  [114, 199], // json
  [3802, 3807], // jsonb
];

/** For `execute()`, whose rows Drizzle does not touch. */
export const RAW_PARSERS: TypeParsers = parsersOf(TEXT_TYPES, String);

/** For rows with json columns, which Drizzle parses again. */
const JSON_COLUMN_PARSERS: TypeParsers = {
  ...RAW_PARSERS,
  ...parsersOf(JSON_TYPES, parseJsonOnce),
};

/** For rows that Drizzle maps to `fields`; to unknown ones for a relational query. */
export function mappedParsers(fields: SelectedFieldsOrdered | undefined): TypeParsers {
  const isPlain = fields?.some(({ field }) => decodesJson(decoderOf(field))) === false;
  return isPlain ? RAW_PARSERS : JSON_COLUMN_PARSERS;
}

/** What Drizzle reads the field with. `decoder` is missing in its types (drizzle-orm/utils.js, `mapResultRow`). */
function decoderOf(field: SelectedFieldsOrdered[number]["field"]): unknown {
  if (is(field, Column)) return field;
  const source = is(field, SQL) ? field : is(field, Subquery) ? field._.sql : field.sql;
  return (source as unknown as { decoder: unknown }).decoder;
}

function decodesJson(decoder: unknown): boolean {
  if (is(decoder, PgArray)) return decodesJson(decoder.baseColumn);
  return is(decoder, PgJson) || is(decoder, PgJsonb);
}

/**
 * Drizzle's json columns call JSON.parse on every string they get, so that the JSON text `"5"` would become the number 5.
 * A string whose content is JSON again therefore keeps its quotes, which they take away.
 */
function parseJsonOnce(text: string): unknown {
  const value: unknown = JSON.parse(text);
  return typeof value === "string" && isJson(value) ? text : value;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function parsersOf(
  types: readonly (readonly [typeId: number, arrayTypeId: number])[],
  parse: Parse,
): TypeParsers {
  return Object.fromEntries(
    types.flatMap(([typeId, arrayTypeId]) => [[typeId, parse], [arrayTypeId, arrayOf(parse)]]),
  );
}
