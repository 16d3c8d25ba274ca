/** A value that is sent as JSON, made by `json`. */
export class JsonValue {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/**
 * Sends a value to a json or jsonb column as JSON. Plain objects are sent so anyway; arrays, strings, numbers, booleans and
 * null need it, since they have PostgreSQL forms of their own. Throws `TypeError` for a value that has no JSON form.
 */
export function json(value: unknown): JsonValue {
  const text = JSON.stringify(value);
  if (text !== undefined) return new JsonValue(text);
  throw new TypeError(
    `Cannot send a value as JSON as it has no JSON form: current type is ${typeof value}; pass null for an absent value`,
  );
}
