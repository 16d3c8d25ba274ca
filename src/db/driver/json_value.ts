/** A value that is sent as JSON, made by `json`. */
export class JsonValue {
  /** What `JSON.stringify` gave. */
  readonly text: string;

  /** @internal Use `sql.json`. */
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
  const text = jsonText(
    value,
    (noValue) => `Cannot send a value as JSON as it has no JSON form: ${noValue}`,
  );
  if (text !== undefined) return new JsonValue(text);
  throw new TypeError(
    `Cannot send a value as JSON as it has no JSON form: current type is ${typeof value}; pass null for an absent value`,
  );
}

/**
 * A value as JSON; `undefined` if JSON.stringify gives nothing. Throws `TypeError` for what has no JSON form, also inside
 * of the value. `toMessage` makes the error's message from its kind and the way out.
 */
export function jsonText(
  value: unknown,
  toMessage: (noValue: string) => string,
): string | undefined {
  let text: string | undefined;
  let seen: Set<unknown> | undefined;
  let failure: unknown;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    failure = error;
    // It may contain itself. JSON.stringify refuses that, so that no other search needs to remember where it has been.
    seen = new Set();
  }
  const formless = formlessIn(value, seen);
  if (formless !== undefined) throw new TypeError(toMessage(noValue(formless)));
  if (failure !== undefined) throw failure;
  return text;
}

/** The first value in arrays and plain objects that has no JSON form. `seen` is given if JSON.stringify has failed. */
function formlessIn(value: unknown, seen: Set<unknown> | undefined): unknown {
  // A program can teach JSON.stringify to write them.
  if (typeof value === "bigint" && seen !== undefined) return value;
  if (!isObject(value) || seen?.has(value)) return undefined;
  seen?.add(value);
  if (Array.isArray(value)) {
    for (const item of value) {
      const found = formlessIn(item, seen);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (!hasJsonForm(value)) return value;
  if (definesJson(value)) return undefined;
  for (const name in value) {
    const found = formlessIn(value[name as keyof object], seen);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function definesJson(value: object): boolean {
  return typeof (value as { toJSON?: unknown }).toJSON === "function";
}

/** Plain objects, also of another realm, and objects that define their own JSON. JSON.stringify makes `{}` of others. */
function hasJsonForm(value: object): boolean {
  if (isThenable(value)) return false;
  if (definesJson(value)) return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const WAYS_OUT: ReadonlyMap<string, string> = new Map([
  ["Promise", "await it first"],
  ["Map", "pass Object.fromEntries(map)"],
  ["Set", "pass [...set]"],
  ["bigint", "pass Number(value) or String(value)"],
  ["Uint8Array", "pass its bytes as a parameter of their own, or as text"],
  ["Error", "pass its message, or what else is to be kept of it"],
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
function noValue(value: unknown): string {
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
