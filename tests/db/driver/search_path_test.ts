import { assertEquals } from "@std/assert";
import { searchPathOf, setsSearchPath } from "../../../src/db/driver/search_path.ts";

Deno.test("a text sets a search path or role for its transaction, for the session, or none", () => {
  for (
    const [text, expected] of [
      ["set local search_path = a", "transaction"],
      ["/* x */ ; SET\tLOCAL -- y\n search_path to a", "transaction"],
      ["set local schema 'a'", "transaction"],
      ["set local role a", "transaction"],
      ["set local session authorization a", "transaction"],
      ["select set_config('search_path', $1, true)", "transaction"],
      ["select set_config($1, $2, true), 1", "transaction"],
      ["set search_path = a", "session"],
      ["set session search_path = a", "session"],
      ["set role a", "session"],
      ["reset role", "session"],
      ["reset all", "session"],
      ["select SET_CONFIG ( 'role', 'a', false)", "session"],
      ["select set_config('search_path', 'a', false), set_config('app.x', '1', true)", "session"],
      ["select set_config('search_path', 'a', $1), f(1, false)", "session"],
      ["set local statement_timeout = 1", undefined],
      ["set local time zone 'UTC'", undefined],
      ["select set_config('app.user', $1, true)", undefined],
      ["update t set role = $1, search_path = $2", undefined],
      ["select * from role", undefined],
      ["select 'set search_path'", undefined],
      ["discard all", undefined],
    ] as const
  ) assertEquals(setsSearchPath(text), expected, text);
});

Deno.test("settings that decide what names mean are told apart from others, and from one another", () => {
  assertEquals(searchPathOf({}), undefined);
  assertEquals(searchPathOf({ "app.user": "1", "app.search_path": "a" }), undefined);
  const [one, other] = [{ search_path: "a" }, { search_path: "b" }].map(searchPathOf);
  assertEquals(new Set([one, other, searchPathOf({ role: "a" }), undefined]).size, 4);
  assertEquals(searchPathOf({ "app.user": "1", search_path: "a" }), one);
});
