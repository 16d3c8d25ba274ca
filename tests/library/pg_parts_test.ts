/** The parts of the pool that need no server. */
import { assertEquals } from "@std/assert";
import { Emitter } from "../../src/library/emitter.ts";
import { splitStatements } from "../../src/library/pg/split_statements.ts";

const SPLIT: [text: string, statements: string[]][] = [
  ["select 1", ["select 1"]],
  ["select 1;", ["select 1;"]],
  ["", [""]],
  [";;", [";;"]],
  ["-- one", ["-- one"]],
  ["a; b", ["a", " b"]],
  ["a;; b;\n-- end\n", ["a", " b"]],
  ["select ';' ; b", ["select ';' ", " b"]],
  ["select 'it''s;' ; b", ["select 'it''s;' ", " b"]],
  ["select e'\\';' ; b", ["select e'\\';' ", " b"]],
  ['select ";" ; b', ['select ";" ', " b"]],
  ["do $$ a; b $$; c", ["do $$ a; b $$", " c"]],
  ["do $x$ a; $$ ; b $x$; c", ["do $x$ a; $$ ; b $x$", " c"]],
  ["a -- ;\n; b", ["a -- ;\n", " b"]],
  ["a /* ; /* ; */ ; */ ; b", ["a /* ; /* ; */ ; */ ", " b"]],
  ["create rule r as on insert to t do (a; b); c", [
    "create rule r as on insert to t do (a; b)",
    " c",
  ]],
  [
    "create function f() returns int begin atomic select case when a then b end; select 2; end; c",
    [
      "create function f() returns int begin atomic select case when a then b end; select 2; end",
      " c",
    ],
  ],
  [
    "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC a; END; begin; b; end; c",
    ["CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC a; END", " begin", " b", " end", " c"],
  ],
  ["create table begin_ (x int); b", ["create table begin_ (x int)", " b"]],
  ["select case when a then b end; c", ["select case when a then b end", " c"]],
  ["create function f() returns text as 'begin;' language sql; b", [
    "create function f() returns text as 'begin;' language sql",
    " b",
  ]],
];

Deno.test(`${SPLIT.length} texts are split where psql splits them`, () => {
  for (const [text, statements] of SPLIT) {
    assertEquals([text, splitStatements(text)], [text, statements]);
  }
});

Deno.test("splitting takes time that is linear in the text", () => {
  const text = "insert into t values ('it''s', $$;$$); ".repeat(20_000);
  const startMs = performance.now();
  assertEquals(splitStatements(text).length, 20_000);
  const ms = performance.now() - startMs;
  assertEquals(ms < 2_000, true, `${ms} ms`);
});

Deno.test("listeners are called in order, once or always, and can be removed also while one is called", () => {
  const emitter = new Emitter();
  const calls: unknown[] = [];
  const always = (...args: unknown[]) => void calls.push(["always", ...args]);
  emitter.once("a", (...args) => {
    calls.push(["once", ...args]);
    emitter.off("a", always);
  });
  emitter.on("a", always).addListener("a", always);
  assertEquals([emitter.listenerCount("a"), emitter.emit("a", 1, 2), emitter.emit("b")], [
    3,
    true,
    false,
  ]);
  emitter.emit("a", 3);
  assertEquals(calls, [["once", 1, 2], ["always", 1, 2], ["always", 1, 2], ["always", 3]]);
  assertEquals(emitter.removeListener("a", always).emit("a"), false);
  emitter.on("a", always).removeAllListeners();
  assertEquals([emitter.emit("a"), emitter.emit("error", new Error("unheard"))], [false, false]);
});
