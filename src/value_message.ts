/** The form of every error message about a refused value. Imports nothing. */

/** Long enough to recognise the value, short enough for one log line. */
const MAX_PREVIEW_LENGTH = 60;

/** What JSON does not escape, and would not be seen or would change what is seen around it. */
const UNSEEN = /[\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

function escapeOf(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

/** Message for a valibot schema: the reason, the current value, and the way out. Not for secrets, as it shows the value. */
export function rejection(reason: string, wayOut: string): (issue: { input: unknown }) => string {
  return ({ input }) => `${reason}: current value ${preview(input)}; ${wayOut}`;
}

/** Message for a valibot object: for an unknown field, a value that is not an object, and a missing field. */
export function fieldRejection(
  owner: string,
  fields: string,
): (issue: { input: unknown; expected: string | null }) => string {
  const notObject = rejection("it must be an object", `write a JSON object with ${fields}`);
  return (issue) => {
    if (issue.expected === "never") return `it is not a field of ${owner}; remove it`;
    if (issue.expected === "Object") return notObject(issue);
    return "it is required: current value is none; add it";
  };
}

/** A value as it appears in an error message: a string in quotes and truncated, any other value by its type. */
export function preview(value: unknown): string {
  if (typeof value !== "string") return `is ${kindOf(value)}`;
  const whole = JSON.stringify(value.slice(0, MAX_PREVIEW_LENGTH)).replace(UNSEEN, escapeOf);
  return value.length > MAX_PREVIEW_LENGTH ? `${whole}… (${value.length} characters)` : whole;
}

function kindOf(value: unknown): string {
  if (value === undefined) return "none";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `the ${typeof value} ${String(value)}`;
}
