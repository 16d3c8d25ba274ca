/** Schemas for the types of environment variables. Each takes the variable's text. */

import * as v from "valibot";
import { BEARER_TOKEN } from "../access/bearer.ts";
import { rejection } from "../value_message.ts";

/** Any text. A Worker's binding may be of any type; a setting must be a string. */
export function text() {
  return v.string(rejection("it must be a string", "put its value in quotes where it is set"));
}

/** A whole number from `min` to `max`, in digits. */
export function wholeNumber({ min, max, wayOut = "write digits only" }: CountOptions) {
  return v.pipe(
    text(),
    v.check(
      (value) => isWholeNumber(value, { min, max }),
      rejection(`it must be a whole number from ${min} to ${max}`, wayOut),
    ),
    v.transform(Number),
  );
}

/** Like `wholeNumber`, or the word. */
export function wholeNumberOr<const Word extends string>(
  word: Word,
  { min, max }: { min: number; max: number },
) {
  return v.pipe(
    text(),
    v.check(
      (value) => value === word || isWholeNumber(value, { min, max }),
      rejection(
        `it must be a whole number from ${min} to ${max}, or ${word}`,
        "write digits only",
      ),
    ),
    v.transform((value) => value === word ? word : Number(value)),
  );
}

function isWholeNumber(value: string, { min, max }: { min: number; max: number }): boolean {
  return /^(?:0|[1-9]\d{0,8})$/.test(value) && Number(value) >= min && Number(value) <= max;
}

interface CountOptions {
  readonly min: number;
  readonly max: number;
  readonly wayOut?: string;
}

/** Seconds from `min` to `max`, with at most three decimals. The output is in milliseconds. */
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

/** Like `seconds`, or `-1` for never. The output of `-1` is `Infinity`. */
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

/** Removes the error of binary fractions. There are no more than three decimals, see `isSeconds`. */
function milliseconds(value: string): number {
  return Math.round(Number(value) * 1_000);
}

/** Requests in a number of seconds, as `300/60`. The output has the seconds in milliseconds. */
export function quota({ maxRequests, maxSeconds }: { maxRequests: number; maxSeconds: number }) {
  return v.pipe(
    text(),
    v.check(
      (value) => {
        const [requests = "", seconds = "", ...rest] = value.split("/");
        return isWholeNumber(requests, { min: 1, max: maxRequests }) &&
          isWholeNumber(seconds, { min: 1, max: maxSeconds }) && rest.length === 0;
      },
      rejection(
        `it must be requests/seconds, up to ${maxRequests} in up to ${maxSeconds}`,
        'write digits only, such as "300/60"; leave it out for no limit',
      ),
    ),
    v.transform((value) => {
      const [requests, seconds] = value.split("/").map(Number) as [number, number];
      return { requests, windowMs: seconds * 1_000 };
    }),
  );
}

/** The name of a header. https://www.rfc-editor.org/rfc/rfc9110#section-5.1 */
export function headerName() {
  return v.pipe(
    text(),
    v.check(
      (value) => /^[A-Za-z\d][A-Za-z\d-]{0,99}$/.test(value),
      rejection("it must be the name of a header", "write letters, digits and hyphens only"),
    ),
  );
}

/** One of the words. Upper and lower case are distinguished. */
export function oneOf<const Words extends readonly string[]>(words: Words) {
  const list = words.map((word) => JSON.stringify(word)).join(", ");
  return v.pipe(
    text(),
    v.picklist(words, rejection("it is not one of the allowed values", `choose one of ${list}`)),
  );
}

/** A token for `Authorization: Bearer`. Errors never show it. */
export function secretToken({ minLength }: { minLength: number }) {
  return v.pipe(
    text(),
    v.check(
      (value) => value.length >= minLength && BEARER_TOKEN.test(value),
      `it must have at least ${minLength} characters of A-Z a-z 0-9 - . _ ~ + /, and = only at the end: ` +
        "current value is not shown; make one with `openssl rand -hex 24`",
    ),
  );
}
