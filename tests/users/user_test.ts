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
  const longest = { email: `${"x".repeat(242)}@example.com`, name: "x".repeat(200) };
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
  for (const email of [...emails, `${"x".repeat(243)}@example.com`, null]) {
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
