import { assert, assertEquals } from "@std/assert";
import * as v from "valibot";
import { NewUser, UserPatch } from "../../src/users/user.ts";
import { newUserId, UserId } from "../../src/users/user_id.ts";

const ADA = { email: "ada@example.com", name: "Ada" };

function messagesOf(schema: v.GenericSchema, value: unknown): Record<string, string> {
  const { issues = [] } = v.safeParse(schema, value, { abortPipeEarly: true });
  return Object.fromEntries(issues.map((issue) => [v.getDotPath(issue) ?? "", issue.message]));
}

Deno.test("NewUser returns accepted values unchanged", () => {
  const domain = ["d".repeat(63), "e".repeat(63), "f".repeat(61)].join(".");
  const longest = { email: `${"x".repeat(64)}@${domain}`, name: "\u{1F600}".repeat(200) };
  const users = [ADA, longest, { email: "o'brien+tag@EXAMPLE.com", name: "Ада\u{1F600} é" }];
  for (const user of users) assertEquals(v.parse(NewUser, user), user);
});

Deno.test("NewUser reports for every refused field the reason, the current value and the way out", () => {
  assertEquals(messagesOf(NewUser, { email: "ada", name: 7, admin: true }), {
    email:
      'it is not an e-mail address: current value "ada"; write it as name@host, without spaces',
    name: "it must be a string: current value is the number 7; write a name",
    admin: "it is not a field of a user; remove it",
  });
  assertEquals(messagesOf(NewUser, {}), {
    email: "it is required: current value is none; add it",
    name: "it is required: current value is none; add it",
  });
});

Deno.test("NewUser refuses invalid e-mail addresses", () => {
  const emails = ["", "@", "a@", "@b", "a b@c.d", " a@b.c", "a@b.c\n", "a@b@c", "a@b\0.c", "ä@b.c"];
  const dots = [".a@b.c", "a.@b.c", "a..b@c.d", "a@.b", "a@b.", "a@b..c"];
  const quoted = ['"a"@b.c', '"a b"@c.d', "a\\@b.c", "a@[127.0.0.1]", "a@[IPv6:::1]", "a(x)@b.c"];
  const invisible = ["a\u200bb@c.d", "a@b\u00ad.c", "\u202ea@b.c", "a@b.c\ufeff", "a\u3000@b.c"];
  const lengths = [
    `${"x".repeat(65)}@b.c`,
    `a@${"x".repeat(64)}.c`,
    `a@-b.c`,
    `a@b-.c`,
    `${"x".repeat(63)}@${`${"y".repeat(63)}.`.repeat(2)}${"z".repeat(63)}`,
  ];
  assertEquals(lengths.at(-1)?.length, 255);
  for (const email of [...emails, ...dots, ...quoted, ...invisible, ...lengths, null]) {
    assertEquals(Object.keys(messagesOf(NewUser, { ...ADA, email })), ["email"], String(email));
  }
});

Deno.test("NewUser refuses names that are empty, too long, padded with white space, or not plain text", () => {
  const names = ["", " ", " Ada", "Ada\n", "A\0da", "A\x7fda", "A\u0085da", "\ud83d", "\ude00Ada"];
  for (const name of [...names, "x".repeat(201), 1, null]) {
    assertEquals(
      Object.keys(messagesOf(NewUser, { ...ADA, name })),
      ["name"],
      JSON.stringify(name),
    );
  }
});

/** By the reason for or against each. */
const NAMES = {
  accepted: [
    ...[
      "Nguyễn Thị",
      "山田 太郎",
      "O'Brien-Smith",
      "João",
      "אבי",
      "محمد",
      "Åsa",
      "x\u{1F600}y",
      "U+202E",
    ],
    // Joiners where they are seen: after a virama, and after a letter of Arabic that would join.
    ...["ශ්\u200dරී", "क्\u200dष", "न्\u200cल", "علی\u200cرضا", "می\u200cخواهم"],
    // Emoji sequences: with a joiner, a variation selector, a keycap, skin, and a flag of tags.
    ...["\u{1F469}\u200d\u{1F4BB}", "\u2764\ufe0f", "1\ufe0f\u20e3", "\u{1F44D}\u{1F3FD}"],
    "\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
  ],
  "changes the direction": ["\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069", "\u061c"],
  "is invisible": [
    ...["\u00ad", "\u034f", "\u115f", "\u1160", "\u17b4", "\u180e", "\u200b", "\u2060", "\u2063"],
    ...["\u2800", "\u3164", "\ufeff", "\uffa0", "\ufff9", "\u{1D173}", "\u{E0001}", "\u{E0041}"],
    // Selects a glyph, or nothing.
    ...["\ufe00", "\ufe0f", "\u{E0100}", "\u180b"],
  ],
  "is another space or separator": [
    ...["\u00a0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\t", "\n"],
  ],
  "means nothing": ["\ue000", "\u{F0000}", "\ufffe", "\uffff", "\ufdd0", "\u{10FFFF}"],
  "joins nothing": [
    "\u200c",
    "\u200d",
    "اا\u200cا",
    "क\u200d",
    "\u{1F469}\u200d",
    "\u200d\u{1F4BB}",
  ],
};

Deno.test("a name may have the characters that are seen, and no others", () => {
  const { accepted, ...refused } = NAMES;
  for (const name of accepted) assertEquals(messagesOf(NewUser, { ...ADA, name }), {}, name);
  for (const [reason, parts] of Object.entries(refused)) {
    for (const part of parts) {
      const messages = messagesOf(NewUser, { ...ADA, name: `a${part}b` });
      assertEquals(Object.keys(messages), ["name"], `${reason}: ${JSON.stringify(part)}`);
      assert(/^it contains U\+[0-9A-F]{4,6}, /.test(messages["name"]!), messages["name"]);
    }
  }
});

Deno.test("a refused name is shown without the characters for which it is refused", () => {
  const { name } = messagesOf(NewUser, { ...ADA, name: "a\u202eb\u{E0041}\u200b" });
  assertEquals(
    name,
    "it contains U+202E, which has no look of its own: current value " +
      '"a\\u{202e}b\\u{e0041}\\u{200b}"; remove it; the only space is U+0020',
  );
});

Deno.test("a name is counted in code points, and is in normalization form C", () => {
  assertEquals(messagesOf(NewUser, { ...ADA, name: "\u{1F600}".repeat(200) }), {});
  for (
    const name of ["\u{1F600}".repeat(201), "x".repeat(201), "e\u0301", "\u1100\u1161", "\u212b"]
  ) {
    assertEquals(Object.keys(messagesOf(NewUser, { ...ADA, name })), ["name"], name);
  }
});

Deno.test("UserPatch accepts a subset of the fields, and refuses an empty patch and unknown fields", () => {
  assertEquals(v.parse(UserPatch, { name: "Ada" }), { name: "Ada" });
  assertEquals(v.parse(UserPatch, { email: ADA.email }), { email: ADA.email });
  assertEquals(Object.keys(messagesOf(UserPatch, {})), [""]);
  assertEquals(Object.keys(messagesOf(UserPatch, { id: 1 })), ["id"]);
  assertEquals(Object.keys(messagesOf(UserPatch, { name: undefined })), ["name"]);
});

Deno.test("UserId accepts only UUIDs, and converts them to lower case", () => {
  const id = newUserId();
  assertEquals(v.parse(UserId, id.toUpperCase()), id);
  for (
    const value of ["", "1", `${id}0`, `{${id}}`, id.replaceAll("-", ""), `${id}\n`, 7, undefined]
  ) {
    assert(!v.is(UserId, value), String(value));
  }
});

Deno.test("newUserId() makes UUIDs of version 7 in increasing order", () => {
  const ids = Array.from({ length: 1_000 }, newUserId);
  assertEquals(ids, ids.toSorted());
  assertEquals(new Set(ids).size, ids.length);
  assert(
    ids.every((id) => /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/.test(id)),
  );
});
