/** A value that is wrong in two ways is refused for the first one only: a client mends one thing at a time. */
import { assertEquals, assertThrows } from "@std/assert";
import type { Context } from "hono";
import * as v from "valibot";
import { ProblemError } from "../../src/http/problem.ts";
import { validBody, validPathParameter, validQuery } from "../../src/http/validation.ts";
import { branchDatabase } from "../support/branch_database.ts";
import { assertProblem, jsonRequest } from "./requests.ts";
import { testApp } from "./test_app.ts";

const TwoRules = v.pipe(
  v.string("it must be a string"),
  v.minLength(5, "it is too short"),
  v.digits("it has other characters than digits"),
);

function detailsOf(parse: () => unknown): string[] {
  const { problem } = assertThrows(parse, ProblemError);
  return problem.errors?.map(({ detail }) => detail) ?? [];
}

Deno.test("validBody() gives one problem for each value", () => {
  const schema = v.object({ one: TwoRules, two: TwoRules });
  assertEquals(detailsOf(() => validBody(schema, { one: "ab", two: "abcdef" })), [
    "it is too short",
    "it has other characters than digits",
  ]);
});

Deno.test("validQuery() gives one problem for each parameter", () => {
  const c = { req: { url: "http://localhost/?one=ab&two=abcdef" } } as Context;
  const schema = v.object({ one: TwoRules, two: TwoRules });
  assertEquals(detailsOf(() => validQuery(c, schema)), [
    "it is too short",
    "it has other characters than digits",
  ]);
});

Deno.test("validPathParameter() gives one problem", () => {
  const c = { req: { param: () => "ab" } } as unknown as Context;
  assertEquals(detailsOf(() => validPathParameter(c, "one", TwoRules)), ["it is too short"]);
});

Deno.test("POST /users gives one problem for a name and an address that are wrong in several ways", async () => {
  const database = await branchDatabase();
  await using branch = await database.connect();
  const app = testApp({ db: branch.open() });
  const body = { email: `${" x".repeat(200)}`, name: ` ${"\0".repeat(300)}` };
  const response = await app.request("/users", jsonRequest("POST", body));
  const { errors } = await assertProblem(response, 422, "invalid-body");
  assertEquals(errors?.map(({ pointer }) => pointer), ["/email", "/name"]);
});
