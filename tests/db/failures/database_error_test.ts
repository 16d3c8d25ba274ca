import { assertEquals, assertStrictEquals } from "@std/assert";
import {
  CommitRolledBackError,
  ConnectError,
  StatementSkippedError,
} from "../../../src/db/errors.ts";
import { databaseErrorIn, errorsIn } from "../../../src/db/failures/database_error.ts";
import { serverError } from "../../support/scripted_driver.ts";

const failure = serverError("40001", "scripted");

Deno.test("errorsIn() ends: after 20 errors, and at a cycle", () => {
  let chain = new Error("innermost");
  for (let depth = 0; depth < 30; depth++) chain = new Error(`${depth}`, { cause: chain });
  assertEquals(errorsIn(chain).length, 20);
  const cyclic = new Error("one");
  cyclic.cause = new AggregateError([cyclic, failure], "two");
  assertEquals(errorsIn(cyclic), [cyclic, cyclic.cause, failure]);
  assertEquals(errorsIn("text"), ["text"]);
});

Deno.test("databaseErrorIn() is not used up by an error that is held many times", () => {
  const same = new Error("the same");
  const many = new AggregateError([...Array.from({ length: 19 }, () => same), failure]);
  assertStrictEquals(databaseErrorIn(many), failure);
});

Deno.test("databaseErrorIn() gives the nearest error, and passes over those that only report another", () => {
  const connect = new ConnectError("x", { cause: failure });
  assertStrictEquals(databaseErrorIn(new Error("x", { cause: connect })), connect);
  const reported = new CommitRolledBackError("x", {
    cause: new StatementSkippedError("x", { cause: failure }),
  });
  assertStrictEquals(databaseErrorIn(new Error("x", { cause: reported })), failure);
  assertEquals(databaseErrorIn(new CommitRolledBackError("x")), undefined);
  assertEquals(databaseErrorIn(new Error("x", { cause: "40001" })), undefined);
});
