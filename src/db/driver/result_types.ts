/**
 * From PostgreSQL's text format to JavaScript values. A type that has no JavaScript equivalent (numeric, date, time,
 * timestamp, interval) and a type that is not listed here stay text, so that nothing is lost. Digits are lost in two cases: a
 * timestamptz becomes a `Date` with milliseconds, and the numbers in json and jsonb become JavaScript numbers.
 */
import { arrayOf } from "./array_text.ts";
import type { Parse } from "./type_parsers.ts";

/** By the ids of the type and of its arrays. https://www.postgresql.org/docs/current/catalog-pg-type.html */
const TYPES: readonly (readonly [oid: number, arrayOid: number, parse: Parse])[] = [
  [16, 1000, (text) => text === "t"], // bool
  [17, 1001, parseBytea],
  [20, 1016, BigInt], // int8
  [21, 1005, Number], // int2
  [23, 1007, Number], // int4
  [26, 1028, Number], // oid
  [114, 199, JSON.parse], // json
  [700, 1021, Number], // float4
  [701, 1022, Number], // float8
  [1184, 1185, parseTimestamptz],
  [3802, 3807, JSON.parse], // jsonb

  [18, 1002, String], // "char"
  [19, 1003, String], // name
  [25, 1009, String], // text
  [650, 651, String], // cidr
  [869, 1041, String], // inet
  [1042, 1014, String], // bpchar
  [1043, 1015, String], // varchar
  [1082, 1182, String], // date
  [1083, 1183, String], // time
  [1114, 1115, String], // timestamp
  [1186, 1187, String], // interval
  [1266, 1270, String], // timetz
  [1700, 1231, String], // numeric
  [2950, 2951, String], // uuid
];

const PARSERS: ReadonlyMap<number, Parse> = new Map(
  TYPES.flatMap(([oid, arrayOid, parse]) => {
    return [[oid, parse], [arrayOid, arrayOf(parse)]] as const;
  }),
);

/** The parser of a type id: text for a type that is not known here. */
export function parserOf(oid: number): Parse {
  return PARSERS.get(oid) ?? String;
}

/** https://www.postgresql.org/docs/current/datatype-binary.html, both formats of `bytea_output`. */
function parseBytea(text: string): Uint8Array {
  if (!text.startsWith("\\x")) return parseEscapedBytea(text);
  const bytes = new Uint8Array(text.length / 2 - 1);
  for (let index = 0; index < bytes.length; index++) {
    const at = 2 * index + 2;
    bytes[index] = hexDigit(text.charCodeAt(at)) * 16 + hexDigit(text.charCodeAt(at + 1));
  }
  return bytes;
}

/** The value of `0` to `9` and `a` to `f`, the only digits that PostgreSQL writes. */
function hexDigit(code: number): number {
  return code <= 57 ? code - 48 : code - 87;
}

function parseEscapedBytea(text: string): Uint8Array {
  const octets = text.matchAll(/\\(\d{3})|\\(\\)|([^\\])/g);
  return Uint8Array.from(
    octets,
    ([, octal, backslash, plain]) =>
      octal === undefined ? (backslash ?? plain!).charCodeAt(0) : Number.parseInt(octal, 8),
  );
}

/** The usual form: four digits of the year, in UTC, whole seconds or at least milliseconds. */
const USUAL_TIMESTAMPTZ = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{3,6})?\+00$/;

/** A zone of the operator's own making can be up to 167 hours from UTC: `set timezone = '<X>-167:59'`. */
const TIMESTAMPTZ =
  /^(\d{4,})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?([+-])(\d{2,3})(?::(\d\d))?(?::(\d\d))?( BC)?$/;

/**
 * A `Date` with milliseconds, or `Infinity` and `-Infinity`. Stays text after the year 275760, which a `Date` cannot
 * hold, and for a `DateStyle` that is not ISO.
 */
function parseTimestamptz(text: string): Date | number | string {
  if (USUAL_TIMESTAMPTZ.test(text)) {
    const milliseconds = text.length > 22 ? 10 * twoDigits(text, 20) + digit(text, 22) : 0;
    // `Date.UTC` takes a year below 100 for one of the twentieth century.
    const year = 100 * twoDigits(text, 0) + twoDigits(text, 2);
    if (year >= 100) {
      return new Date(
        Date.UTC(
          year,
          twoDigits(text, 5) - 1,
          twoDigits(text, 8),
          twoDigits(text, 11),
          twoDigits(text, 14),
          twoDigits(text, 17),
          milliseconds,
        ),
      );
    }
  }
  if (text === "infinity") return Infinity;
  if (text === "-infinity") return -Infinity;
  const match = TIMESTAMPTZ.exec(text);
  if (match === null) return text;
  const [, year, month, day, hour, minute, second, fraction = "", sign, ...offset] = match;
  const isBc = offset.pop() !== undefined;
  const [offsetHours, offsetMinutes = "0", offsetSeconds = "0"] = offset;
  const offsetMs = (Number(offsetHours) * 3600 + Number(offsetMinutes) * 60 +
    Number(offsetSeconds)) * 1_000;
  const date = new Date(0);
  date.setUTCFullYear(isBc ? 1 - Number(year) : Number(year), Number(month) - 1, Number(day));
  const milliseconds = Number(fraction.padEnd(3, "0").slice(0, 3));
  date.setUTCHours(Number(hour), Number(minute), Number(second), milliseconds);
  date.setTime(date.getTime() - (sign === "-" ? -offsetMs : offsetMs));
  return Number.isNaN(date.getTime()) ? text : date;
}

function digit(text: string, at: number): number {
  return text.charCodeAt(at) - 0x30;
}

function twoDigits(text: string, at: number): number {
  return 10 * digit(text, at) + digit(text, at + 1);
}
