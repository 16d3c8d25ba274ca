import { assertEquals } from "@std/assert";
import { ConnectError, ConnectionLostError } from "../../../src/db/errors.ts";
import { Generation } from "../../../src/db/pool/generation.ts";
import { serverError } from "../../support/scripted_driver.ts";

function lost(sqlState?: string) {
  const cause = sqlState === undefined ? undefined : serverError(sqlState, "scripted", "FATAL");
  return new ConnectionLostError("lost", { begun: false, cause });
}

function refused(sqlState: string) {
  return new ConnectError("refused", { cause: serverError(sqlState, "scripted", "FATAL") });
}

const cases: [what: string, ends: [reason: Error, atMs: number][], generation: number][] = [
  ["one backend that was terminated", [[lost("57P01"), 0]], 0],
  ["two within a second", [[lost("57P01"), 0], [lost("57P01"), 1_000]], 1],
  ["two with more time between them", [[lost("57P01"), 0], [lost("57P01"), 1_001]], 0],
  ["three within a second", [[lost("57P01"), 0], [lost("57P01"), 10], [lost("57P01"), 20]], 1],
  ["a whole server's goodbyes, one by one", Array(20).fill([lost("57P01"), 0]), 1],
  ["a crash", [[lost("57P02"), 0]], 1],
  ["a server that starts up", [[refused("57P03"), 0]], 1],
  ["sockets that are cut", [[lost(), 0], [lost(), 1]], 0],
  ["logins that are refused", [[refused("28P01"), 0], [refused("53300"), 1]], 0],
];

for (const [what, ends, expected] of cases) {
  Deno.test(`${what} ${expected === 0 ? "leaves the generation" : "ends the generation"}`, () => {
    const generation = new Generation();
    for (const [reason, atMs] of ends) generation.noteFailure(reason, { nowMs: atMs, openedIn: 0 });
    assertEquals(generation.current, expected);
  });
}

Deno.test("a generation that is told to end does so once", () => {
  const generation = new Generation();
  generation.end(0);
  generation.end(0);
  assertEquals(generation.current, 1);
});
