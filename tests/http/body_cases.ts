/** The users API's responses to bodies. A refused body never reaches the database. */

import { assert, assertEquals } from "@std/assert";
import { assertProblem, jsonRequest, uniqueEmail, type UsersCase } from "./requests.ts";

function rawRequest(body: BodyInit, contentType = "application/json"): RequestInit {
  return { method: "POST", body, headers: { "Content-Type": contentType } };
}

const encoder = new TextEncoder();
const VALID = JSON.stringify({ email: "ada@example.com", name: "Ada" });

export const bodyCases: readonly UsersCase[] = [
  {
    name: "POST /users answers 400 for a body that is not one JSON text in UTF-8",
    async run(request) {
      const bodies: readonly BodyInit[] = [
        "",
        " ",
        "{",
        "{'email':1}",
        `${VALID}${VALID}`,
        "[".repeat(60_000),
        `\uFEFF${VALID}`,
        new Uint8Array([0x22, 0xff, 0xfe, 0x22]),
        new Uint8Array([...encoder.encode('{"name":"'), 0xed, 0xa0, 0x80, ...encoder.encode('"}')]),
        '{"email":"a@b.c","name":"Ada","name":"Eve"}',
        '{"email":"a@b.c","name":"Ada","na\\u006de":"Eve"}',
        "NaN",
      ];
      for (const body of bodies) {
        const response = await request("/users", rawRequest(body));
        await assertProblem(response, 400, "malformed-request");
      }
    },
  },
  {
    name: "POST /users answers 422 with a JSON Pointer for each invalid field",
    async run(request) {
      const email = uniqueEmail();
      const bodies: readonly [body: unknown, ...pointers: string[]][] = [
        [{}, "/email", "/name"],
        [{ email: "x", name: "" }, "/email", "/name"],
        [{ email: 1, name: null }, "/email", "/name"],
        [{ email: [email], name: {} }, "/email", "/name"],
        [{ email, name: "a\0b" }, "/name"],
        [{ email, name: "\ud800" }, "/name"],
        [{ email, name: " Ada" }, "/name"],
        [{ email, name: "x".repeat(201) }, "/name"],
        [{ email: `${"x".repeat(250)}@example.com`, name: "Ada" }, "/email"],
        [{ email: ` ${email}`, name: "Ada" }, "/email"],
        [{ email, name: "Ada", "is/ad~min": true }, "/is~1ad~0min"],
        [null, ""],
        [[], ""],
        [[{ email, name: "Ada" }], ""],
        ["text", ""],
        [1, ""],
      ];
      for (const [body, ...pointers] of bodies) {
        const response = await request("/users", jsonRequest("POST", body));
        const { errors } = await assertProblem(response, 422, "invalid-body");
        assertEquals(errors?.map(({ pointer }) => pointer), pointers, JSON.stringify(body));
        assert(errors?.every(({ detail }) => detail.length < 300));
      }
    },
  },
  {
    name: "POST /users answers 422 for keys that JavaScript objects inherit",
    async run(request) {
      for (const key of ["__proto__", "constructor", "toString"]) {
        const body = `{"email":"${uniqueEmail()}","name":"Ada","${key}":{"a":1}}`;
        await assertProblem(await request("/users", rawRequest(body)), 422, "invalid-body");
      }
    },
  },
  {
    name: "POST /users reads deeply nested JSON, and refuses it as a field",
    async run(request) {
      const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
      const response = await request("/users", rawRequest(`{"email":"a@b.c","name":${deep}}`));
      const { errors } = await assertProblem(response, 422, "invalid-body");
      assertEquals(errors?.[0]?.pointer, "/name");
    },
  },
  {
    name: "PATCH /users/:id answers 422 for a patch that changes nothing",
    async run(request) {
      const path = "/users/01890000-0000-7000-8000-000000000000";
      for (const body of [{}, [], { version: 2 }, { name: null }, { id: "x" }]) {
        await assertProblem(await request(path, jsonRequest("PATCH", body)), 422, "invalid-body");
      }
    },
  },
  {
    name: "POST /users answers 415 for a body of another media type, and lists the accepted one",
    async run(request) {
      const types = ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""];
      for (const type of [...types, "application/json; charset=utf-16"]) {
        const response = await request("/users", rawRequest(VALID, type));
        assertEquals(response.headers.get("Accept"), "application/json");
        await assertProblem(response, 415, "unsupported-media-type");
      }
      const bytes = await request("/users", { method: "POST", body: encoder.encode(VALID) });
      await assertProblem(bytes, 415, "unsupported-media-type");
      const gzip = await request(
        "/users",
        jsonRequest("POST", {}, { "Content-Encoding": "gzip" }),
      );
      assertEquals(gzip.headers.get("Accept-Encoding"), "identity");
      await assertProblem(gzip, 415, "unsupported-media-type");
    },
  },
  {
    name: "POST /users takes application/json with a charset and in any case",
    async run(request) {
      for (const type of ['Application/JSON; charset="UTF-8"', "application/json;charset=utf-8"]) {
        const body = JSON.stringify({ email: uniqueEmail(), name: "Ada" });
        const response = await request("/users", rawRequest(body, type));
        assertEquals(response.status, 201, type);
        await response.body?.cancel();
      }
    },
  },
  {
    name: "POST /users answers 413 for a body of more than 64 KiB, declared or not",
    async run(request) {
      const body = JSON.stringify({ email: "a@b.c", name: "x".repeat(65_536) });
      await assertProblem(await request("/users", rawRequest(body)), 413, "body-too-large");
      const stream = new Blob([body]).stream();
      const chunked = { ...rawRequest(stream), duplex: "half" } as RequestInit;
      await assertProblem(await request("/users", chunked), 413, "body-too-large");
    },
  },
];
