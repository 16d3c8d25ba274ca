/** The one form in which a refused value is told to whoever wrote it. Imports nothing. */

/** Long enough to recognise a value by, short enough for one line of a log. */
const MAX_SHOWN_LENGTH = 60;

/** Message for a valibot schema: the reason, the current value, and the way out. Not for secrets. */
export function rejection(reason: string, wayOut: string): (issue: { input: unknown }) => string {
  return ({ input }) => `${reason}: current value ${preview(input)}; ${wayOut}`;
}

/** A value as an error may show it: a string in quotes and cut, anything else by its type. */
export function preview(value: unknown): string {
  if (typeof value !== "string") return `is ${kindOf(value)}`;
  const whole = JSON.stringify(value.slice(0, MAX_SHOWN_LENGTH));
  return value.length > MAX_SHOWN_LENGTH ? `${whole}… (${value.length} characters)` : whole;
}

function kindOf(value: unknown): string {
  if (value === undefined) return "none";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `the ${typeof value} ${String(value)}`;
}
