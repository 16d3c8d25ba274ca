/** The kinds of value that a variable of the environment can hold, as valibot schemas over its text. */

import * as v from "valibot";
import { rejection } from "../value_message.ts";

/** Any text. Bindings of Workers may be anything, ours must be strings. */
export function text() {
  return v.string(rejection("it must be a string", "put its value in quotes where it is set"));
}

/** A whole number from `min` to `max`, in digits. */
export function wholeNumber({ min, max, wayOut = "write digits only" }: CountOptions) {
  return v.pipe(
    text(),
    v.check(
      (value) => /^(?:0|[1-9]\d{0,8})$/.test(value) && Number(value) >= min && Number(value) <= max,
      rejection(`it must be a whole number from ${min} to ${max}`, wayOut),
    ),
    v.transform(Number),
  );
}

interface CountOptions {
  readonly min: number;
  readonly max: number;
  readonly wayOut?: string;
}

/** Seconds, with up to three decimals, from `min` to `max`. Comes out in milliseconds. */
export function seconds(options: { min: number; max: number }) {
  return v.pipe(
    text(),
    v.check(
      (value) => isSeconds(value, options),
      rejection(
        `it must be a number of seconds from ${options.min} to ${options.max}`,
        'write digits only, with at most three decimals after a point, such as "2.5"',
      ),
    ),
    v.transform(milliseconds),
  );
}

/** As `seconds`, or `-1` for never, which comes out as `Infinity`. */
export function secondsOrNever(options: { min: number; max: number }) {
  return v.pipe(
    text(),
    v.check(
      (value) => value === "-1" || isSeconds(value, options),
      rejection(
        `it must be a number of seconds from ${options.min} to ${options.max}, or -1 for never`,
        'write digits only, with at most three decimals after a point, such as "2.5"',
      ),
    ),
    v.transform((value) => value === "-1" ? Infinity : milliseconds(value)),
  );
}

function isSeconds(value: string, { min, max }: { min: number; max: number }): boolean {
  return /^(?:0|[1-9]\d{0,8})(?:\.\d{1,3})?$/.test(value) && Number(value) >= min &&
    Number(value) <= max;
}

/** Rounds away the binary fraction only: a fourth decimal was refused. */
function milliseconds(value: string): number {
  return Math.round(Number(value) * 1_000);
}

/** One of a few words, in lower case. */
export function oneOf<const Words extends readonly string[]>(words: Words) {
  const list = words.map((word) => JSON.stringify(word)).join(", ");
  return v.pipe(
    text(),
    v.picklist(words, rejection("it is not one of its words", `choose one of ${list}`)),
  );
}

/** What a client sends as `Authorization: Bearer`. https://www.rfc-editor.org/rfc/rfc6750#section-2.1 */
export function secretToken({ minLength }: { minLength: number }) {
  return v.pipe(
    text(),
    v.check(
      (value) => value.length >= minLength && /^[\w.~+/-]+=*$/.test(value),
      // Its value stays a secret.
      `it must be of at least ${minLength} characters, of A-Z a-z 0-9 - . _ ~ + / and = at its end only: ` +
        "current value is not shown; `openssl rand -hex 24` makes one",
    ),
  );
}
