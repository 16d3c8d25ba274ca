/** A value that is sent as JSON, made by `json`. */
export class JsonValue {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** So that it keeps its value inside an object that is sent as JSON. */
  toJSON(): unknown {
    return JSON.parse(this.text);
  }
}

/**
 * Sends a value to a json or jsonb column as JSON. Plain objects are sent so anyway; arrays, strings, numbers, booleans and
 * null need it, since they have PostgreSQL forms of their own. Throws `TypeError` for a value that has no JSON form.
 */
export function json(value: unknown): JsonValue {
  assertJsonForm(value);
  const text = JSON.stringify(value);
  if (text !== undefined) return new JsonValue(text);
  throw new TypeError(
    `Cannot send a value as JSON as it has no JSON form: current type is ${typeof value}; pass null for an absent value`,
  );
}

/** Looks into arrays, each once: JSON.stringify refuses one that contains itself. */
function assertJsonForm(value: unknown, seen = new Set<unknown>()): void {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  if (Array.isArray(value)) {
    seen.add(value);
    for (const item of value) assertJsonForm(item, seen);
  } else if (!hasJsonForm(value)) {
    throw new TypeError(`Cannot send a value as JSON as it has no JSON form: ${noValue(value)}`);
  }
}

/** Plain objects, also of another realm, and objects that define their own JSON. JSON.stringify makes `{}` of others. */
export function hasJsonForm(value: object): boolean {
  if (isThenable(value)) return false;
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const WAYS_OUT: ReadonlyMap<string, string> = new Map([
  ["Promise", "await it first"],
  ["Map", "pass Object.fromEntries(map)"],
  ["Set", "pass [...set]"],
  ["Array Iterator", "pass [...iterator]"],
  ["Generator", "pass [...generator]"],
  ["AsyncGenerator", "pass await Array.fromAsync(generator)"],
  ["Sql", "put it into the template itself, not into a value"],
  ["String", "pass the primitive"],
  ["Number", "pass the primitive"],
  ["Boolean", "pass the primitive"],
  ["BigInt", "pass the primitive"],
]);

/** The kind of a value without a JSON form and the way out, for an error. Never the value itself. */
export function noValue(value: object): string {
  const kind = kindOf(value);
  const wayOut = WAYS_OUT.get(kind) ?? "pass a plain object, or give its class a toJSON method";
  return `current type is ${kind}; ${wayOut}`;
}

/** A promise, or a query of another library that runs once it is awaited. */
function isThenable(value: object): boolean {
  return typeof (value as { then?: unknown }).then === "function";
}

/** The kind of a value, for an error: its type, or the name of its class. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  if (isThenable(value)) return "Promise";
  // A generator and an iterator have no constructor that names them.
  const tag = Object.prototype.toString.call(value).slice("[object ".length, -1);
  if (/ Iterator$|Generator$/.test(tag)) return tag;
  const name: unknown = (value as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof name === "string" && name !== "" ? name : "object";
}
