import { assertEquals } from "@std/assert";
import { leaksIn } from "./leaks.ts";

Deno.test("leaksIn() finds SQL, stacks, places and secrets, and nothing in an answer of the service", () => {
  const inside = [
    "TypeError: x\n    at handler (app.ts)",
    "see file:///srv/app",
    "in app.ts:12",
    "postgresql://app:x@db/main",
    "select id from users",
    "INSERT INTO users",
    "relation pg_class",
    'new row violates unique constraint "x"',
    "invalid input syntax for type uuid",
    "the password is hunter2",
  ];
  for (const text of inside) assertEquals([text, leaksIn(text, ["hunter2"]).length], [text, 1]);
  const answer = '{"type":"/problems/invalid-body","detail":"it is empty: current value \\"\\""}';
  assertEquals(leaksIn(answer, ["hunter2"]), []);
});
