/** How many reads go behind one another although connections are free, by what the server's answers show. */
import { assert, assertEquals } from "@std/assert";
import { Gathering } from "../../../src/db/pool/gathering.ts";

/** Answers that each come `behindMs` after the one in front. */
function answer(gathering: Gathering, behindMs: number, { times = 1_000, nowMs = 0 } = {}): void {
  for (let n = 0; n < times; n++) gathering.note({ answers: 1, behind: 1, behindMs }, nowMs);
}

Deno.test("quick answers make the line longer, and slower ones shorter", () => {
  const gathering = new Gathering();
  assertEquals(gathering.depth(0), 4);
  answer(gathering, 0.01);
  assert(gathering.depth(0) > 16);
  answer(gathering, 0.05);
  const depth = gathering.depth(0);
  assert(depth > 4 && depth < 6, `${depth}`);
});

Deno.test("answers that come together count as quick", () => {
  const gathering = new Gathering();
  for (let n = 0; n < 100; n++) gathering.note({ answers: 15, behind: 15, behindMs: 0.3 }, 0);
  assert(gathering.depth(0) > 10);
});

Deno.test("a single late answer ends no trial", () => {
  const gathering = new Gathering();
  answer(gathering, 10, { times: 1 });
  assert(gathering.depth(0) > 3);
});

Deno.test("a read that is behind none tells nothing", () => {
  const gathering = new Gathering();
  for (let n = 0; n < 100; n++) gathering.note({ answers: 1, behind: 0, behindMs: 0 }, 0);
  assertEquals(gathering.depth(0), 4);
  for (let n = 0; n < 1_000; n++) gathering.note({ answers: 2, behind: 1, behindMs: 0 }, 0);
  assert(gathering.depth(0) > 16);
});

Deno.test("after slow answers it is tried again, later each time", () => {
  const gathering = new Gathering();
  let nowMs = 0;
  for (const pauseMs of [100, 200, 400]) {
    answer(gathering, 5, { times: 10, nowMs });
    assertEquals([gathering.depth(nowMs), gathering.depth(nowMs + pauseMs - 1)], [1, 1]);
    nowMs += pauseMs;
    assertEquals(gathering.depth(nowMs), 4);
  }
  // A trial that lasts as long as the pause to come would have ends the doubling.
  answer(gathering, 0.0625, { nowMs: nowMs + 801 });
  answer(gathering, 5, { times: 10, nowMs: nowMs + 900 });
  assertEquals([gathering.depth(nowMs + 999), gathering.depth(nowMs + 1_000)], [1, 4]);
});

Deno.test("of 200 reads one may be moved from behind a slow one", () => {
  const gathering = new Gathering();
  answer(gathering, 0);
  for (let n = 0; n < 62; n++) gathering.noteMove();
  assertEquals(Math.floor(gathering.depth(0)), 2);
  for (let n = 0; n < 10; n++) gathering.noteMove();
  assertEquals(gathering.depth(0), 0);
  answer(gathering, 0, { times: 800 });
  assertEquals(Math.round(gathering.depth(0)), 4);
});
