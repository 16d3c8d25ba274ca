/** Requests that fast-check makes of a seed: over all routes of the service, mostly wrong in one way or in several. */
import fc from "fast-check";
import { openApiDocument } from "../../src/docs/openapi.ts";

export interface GeneratedRequest {
  readonly method: string;
  /** `KNOWN` stands for the id of a user that exists, `CURSOR` for a cursor that was given out. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array<ArrayBuffer> | undefined;
}

export const KNOWN = "KNOWN";
export const CURSOR = "CURSOR";

/** Texts that parsers, databases and people read differently. None has a word that an answer must not have. */
const NASTY = [
  "",
  " ",
  "\0",
  "\u{feff}",
  "\u202e",
  "\u200b",
  "\ud800",
  "\u{10ffff}",
  "İnfo",
  "ﬀ",
  "e\u0301",
  "\r\n",
  "%00",
  "%ff",
  "../../etc/passwd",
  "' OR 1=1 --",
  "\\'; --",
  "$1",
  "${7*7}",
  "{{7*7}}",
  "<b>bold</b>",
  "__proto__",
  "constructor",
  "toString",
  "null",
  "NaN",
  "-0",
  "1e400",
  "9".repeat(40),
  "00000000-0000-0000-0000-000000000000",
  "x".repeat(300),
];

const nasty = fc.constantFrom(...NASTY);
const text = fc.oneof(nasty, fc.string({ unit: "binary", maxLength: 40 }), fc.string());
const uuid = fc.oneof(fc.uuid(), fc.uuid().map((id) => id.toUpperCase()));

const email = fc.oneof(
  { weight: 3, arbitrary: fc.uuid().map((id) => `${id}@example.com`) },
  { weight: 1, arbitrary: fc.emailAddress() },
  // A few addresses that many requests want.
  {
    weight: 1,
    arbitrary: fc.constantFrom("same@example.com", "Same@example.com", "SAME@EXAMPLE.COM"),
  },
  { weight: 1, arbitrary: fc.tuple(text, text).map(([name, host]) => `${name}@${host}`) },
  { weight: 1, arbitrary: fc.nat(400).map((length) => `${"a".repeat(length)}@example.com`) },
);

const name = fc.oneof(fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 }), text);
const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  text,
  fc.double(),
  fc.bigInt().map(Number),
);

const validUser = fc.record({
  email: fc.oneof(
    { weight: 4, arbitrary: fc.uuid().map((id) => `${id}@example.com`) },
    { weight: 1, arbitrary: fc.constantFrom("same@example.com", "SAME@example.com") },
  ),
  name: fc.constantFrom("Ada Lovelace", "李清照", "José", "O'Brien", "Zoë 🙂"),
});
const user = fc.oneof(
  validUser,
  fc.record({ email, name }),
  fc.record({ email: fc.oneof(email, anything), name: fc.oneof(name, anything) }, {
    requiredKeys: [],
  }),
  fc.record({ email, name, extra: anything }),
);

/** JSON that is valid, and then damaged in one of several ways. */
const json = fc.tuple(
  fc.oneof(
    { weight: 4, arbitrary: user },
    { weight: 1, arbitrary: anything },
    { weight: 1, arbitrary: fc.array(user, { maxLength: 5 }) },
    { weight: 2, arbitrary: fc.record({ users: fc.array(user, { maxLength: 5 }) }) },
  ).map((value) => JSON.stringify(value)),
  fc.nat(),
  fc.constantFrom(...Array<"none">(8).fill("none"), "cut", "twice", "bom", "key", "deep", "long"),
).map(([text, at, damage]) => {
  switch (damage) {
    case "cut":
      return text.slice(0, at % (text.length + 1));
    case "twice":
      return text + text;
    case "bom":
      return `\u{feff}${text}`;
    case "key":
      return text.replace("{", '{"__proto__":{"isAdmin":true},"name":"twice",');
    case "deep":
      return "[".repeat(500 + at % 2_000) + "]".repeat(500 + at % 2_000);
    case "long":
      return `{"email":"a@example.com","name":"${"n".repeat(at % 70_000)}"}`;
    default:
      return text;
  }
});

const body = fc.oneof(
  { weight: 8, arbitrary: json },
  {
    weight: 1,
    arbitrary: fc.uint8Array({ maxLength: 60 }) as fc.Arbitrary<Uint8Array<ArrayBuffer>>,
  },
  { weight: 1, arbitrary: fc.constant(undefined) },
);

/** What a header may have: no control characters, which no client can send. */
const headerText = fc.oneof(
  text.map((value) => value.replaceAll(/[^\t\x20-\x7e\xa0-\xff]/g, "").trim()),
  fc.string({ maxLength: 200 }).map((value) => value.trim()),
);

const contentType = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("application/json", "application/merge-patch+json") },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "application/json; charset=utf-8",
      "application/json; charset=utf-7",
      "text/plain",
      "multipart/form-data; boundary=x",
      "application/x-www-form-urlencoded",
    ),
  },
  { weight: 1, arbitrary: headerText },
);

const HEADERS: Readonly<Record<string, fc.Arbitrary<string>>> = {
  "Content-Encoding": fc.constantFrom("gzip", "identity", "br", "x"),
  Accept: fc.oneof(
    fc.constantFrom("text/html", "*/*", "application/json", "text/html;q=0"),
    headerText,
  ),
  "If-Match": fc.oneof(fc.constantFrom('"1"', '"2"', "*", 'W/"1"', '"1", "2"', "1"), headerText),
  "If-None-Match": fc.oneof(fc.constantFrom('"1"', '"2"', "*", 'W/"1"'), headerText),
  "Idempotency-Key": fc.oneof(
    fc.constantFrom('"a"', '"b"', "c"),
    fc.uuid().map((id) => `"${id}"`),
    headerText,
  ),
  "X-Request-Id": headerText,
  Origin: fc.oneof(fc.constantFrom("https://example.com", "null"), headerText),
  "Access-Control-Request-Method": fc.constantFrom("POST", "DELETE", "x"),
  Range: fc.constantFrom("bytes=0-1", "bytes=-1", "x"),
  "X-Forwarded-For": headerText,
  "Request-Timeout": fc.oneof(fc.constantFrom("1", "0", "-1", "1e9"), headerText),
  Traceparent: headerText,
  Cookie: headerText,
  Authorization: fc.oneof(
    fc.constantFrom(
      "",
      "Bearer",
      "Bearer x",
      "Basic eDp5",
      "bearer  x",
      "Bearer x y",
      "Bearer a.b.c",
    ),
    headerText,
  ),
};

/** The headers that change what is done come more often. */
const EFFECTIVE = [
  "If-Match",
  "If-Match",
  "If-Match",
  "If-None-Match",
  "Idempotency-Key",
  "Idempotency-Key",
];

const headerPair = fc.constantFrom(...Object.keys(HEADERS), ...EFFECTIVE)
  .chain((name) => HEADERS[name]!.map((value) => [name, value] as const));

const headers = fc.tuple(contentType, fc.array(headerPair, { maxLength: 2 }))
  .map(([type, pairs]): Record<string, string> => ({
    "Content-Type": type,
    ...Object.fromEntries(pairs),
  }));

const segment = fc.oneof(
  { weight: 6, arbitrary: fc.constant(KNOWN) },
  { weight: 2, arbitrary: uuid },
  { weight: 3, arbitrary: text.map(encoded) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("%", "%00", "%ff", "%2f", "%2e%2e", "..", "*", ":id", ""),
  },
);

/** As `encodeURIComponent`, which throws for half of a surrogate pair. */
function encoded(value: string): string {
  return encodeURIComponent(value.toWellFormed());
}

/** Not `/ops/events`, whose answer does not end. */
const TEMPLATES = [
  ...Object.keys(openApiDocument().paths),
  "/metrics",
  "/ops",
  "/",
  "/users/",
];

const path = fc.tuple(
  fc.constantFrom(
    ...TEMPLATES,
    ...Array<string>(16).fill("/users"),
    ...Array<string>(16).fill("/users/{id}"),
    ...Array<string>(6).fill("/users:batch"),
  ),
  segment,
  fc.constantFrom(...Array<"none">(12).fill("none"), "slash", "double", "below"),
).map(([template, value, change]) => {
  const filled = template.replaceAll(/\{\w+\}/g, () => value);
  if (change === "slash") return `${filled}/`;
  if (change === "double") return `/${filled}`;
  return change === "below" ? `${filled}/${value}` : filled;
});

const QUERY_NAMES = Object.values(openApiDocument().paths)
  .flatMap((operations) => Object.values(operations))
  .flatMap(({ parameters = [] }) => parameters)
  .flatMap((parameter) => parameter.in === "query" ? [parameter.name] : []);

const parameter = fc.tuple(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.constantFrom(...QUERY_NAMES),
    },
    { weight: 1, arbitrary: text },
  ),
  fc.oneof(
    fc.constantFrom(
      "1",
      "50",
      "200",
      "201",
      "0",
      "-1",
      "1.5",
      "01",
      "+1",
      "١",
      KNOWN,
      CURSOR,
      CURSOR,
    ),
    uuid,
    text,
    fc.base64String({ maxLength: 80 }),
  ),
).map(([key, value]) =>
  `${encoded(key)}=${[KNOWN, CURSOR].includes(value) ? value : encoded(value)}`
);

const query = fc.oneof(
  { weight: 3, arbitrary: fc.constant("") },
  {
    weight: 2,
    arbitrary: fc.array(parameter, { minLength: 1, maxLength: 3 }).map((all) =>
      `?${all.join("&")}`
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom("?", "?limit", "?limit=%", "?&&", "?limit=1&limit=2", "?%00=%00"),
  },
);

const method = fc.constantFrom(
  ...Array<"GET">(6).fill("GET"),
  ...Array<"POST">(6).fill("POST"),
  ...Array<"PATCH">(4).fill("PATCH"),
  ...["DELETE", "DELETE", "HEAD", "HEAD", "OPTIONS", "PUT", "QUERY", "PROPFIND"],
);

const wrong: fc.Arbitrary<GeneratedRequest> = fc.record({
  method,
  path: fc.tuple(path, query).map(([before, after]) => before + after),
  headers,
  body,
}).map(({ body, ...request }) => ({
  ...request,
  // fetch sends no body with these.
  body: /^(?:GET|HEAD)$/.test(request.method) ? undefined : body,
}));

/** Keeps users there for the others to aim at. */
const right: fc.Arbitrary<GeneratedRequest> = validUser.map((value) => ({
  method: "POST",
  path: "/users",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(value),
}));

/** The same requests for the same seed. */
export function generatedRequests(
  { count, seed }: { count: number; seed: number },
): GeneratedRequest[] {
  const one = fc.oneof({ weight: 9, arbitrary: wrong }, { weight: 1, arbitrary: right });
  return fc.sample(one, { numRuns: count, seed });
}
