import { assertEquals } from "@std/assert";
import { ClientTurns } from "../../src/deno/client_turns.ts";
import { LoopLimit } from "../../src/deno/loop_limit.ts";
import { flushPromises, ManualClock } from "../support/manual_clock.ts";

/** A limit, and turns of the event loop that a test makes. */
function limitWithTurns() {
  let [nowMs, cpuMs] = [0, 0];
  const ends: (() => void)[] = [];
  const limit = new LoopLimit({
    now: () => nowMs,
    cpuMs: () => cpuMs,
    atTurnEnd: (callback) => ends.push(callback),
  });
  const endTurn = (tookMs: number, { usedMs = tookMs } = {}) => {
    nowMs += tookMs;
    cpuMs += usedMs;
    for (const end of ends.splice(0)) end();
  };
  /** How many requests of one client may run. */
  const most = () => {
    let running = 0;
    while (!limit.isReachedBy(running)) running++;
    return running;
  };
  /** A turn in which `running` requests run, and one more would like to. */
  const turn = (running: number, tookMs: number, used: { usedMs?: number } = {}) => {
    limit.note(running);
    limit.allows({ running, ofClient: running, clients: 1 });
    endTurn(tookMs, used);
  };
  const grow = (turns: number) => {
    for (let count = 0; count < turns; count++) turn(most(), 1);
  };
  return { limit, turn, most, grow, endTurn };
}

Deno.test("the limit of requests at once grows while requests wait for it and turns are short", () => {
  const { most, grow, turn } = limitWithTurns();
  assertEquals(most(), 16);
  grow(16);
  assertEquals(most(), 43);
  // None waits for it.
  for (let count = 0; count < 16; count++) turn(20, 1);
  assertEquals(most(), 43);
});

Deno.test("a long turn lowers the limit in proportion, by half at most, and never below 16", () => {
  const { most, grow, turn } = limitWithTurns();
  grow(60);
  assertEquals(most(), 608);
  turn(600, 20);
  assertEquals(most(), 456);
  turn(400, 300);
  assertEquals(most(), 228);
  for (let count = 0; count < 10; count++) turn(200, 300);
  assertEquals(most(), 16);
});

Deno.test("a turn is as long as the event loop has used the processor", () => {
  const { most, grow, turn } = limitWithTurns();
  grow(16);
  // Other processes had the processor, or other threads of this one used a second one.
  turn(20, 500, { usedMs: 5 });
  turn(20, 5, { usedMs: 500 });
  assertEquals(most(), 43);
  turn(20, 500, { usedMs: 500 });
  assertEquals(most(), 22);
});

Deno.test("a turn is measured once, from its first request, and not where few requests run", () => {
  const { limit, most, grow, endTurn } = limitWithTurns();
  grow(16);
  limit.note(15);
  endTurn(500);
  assertEquals(most(), 43);
  limit.note(30);
  limit.note(31);
  endTurn(30);
  assertEquals(most(), 22);
});

Deno.test("past the limit a client gets its equal part, and requests wait in front of the event loop", async () => {
  const { limit, endTurn } = limitWithTurns();
  const options = { connections: 100, readDepth: () => 1, shedTargetMs: 0 };
  const turns = new ClientTurns(options, { clock: new ManualClock(), limit });
  const started: string[] = [];
  const ends: (() => void)[] = [];
  const ask = (client: string) =>
    turns.run({ client, isRead: true }, () => {
      started.push(client);
      return new Promise<void>((resolve) => ends.push(resolve));
    });
  const asked = Array.from({ length: 40 }, () => ask("a"));
  await flushPromises();
  assertEquals(started.length, 16);
  asked.push(...Array.from({ length: 10 }, () => ask("b")));
  await flushPromises();
  assertEquals(started.filter((client) => client === "b").length, 8);
  // Both have their part, which is together the limit: one begins when a place is free within it.
  for (let count = 0; count < 9; count++) ends.shift()!();
  await flushPromises();
  assertEquals(started.length, 25);
  const endAll = async () => {
    while (ends.length > 0) {
      endTurn(1);
      for (const end of ends.splice(0)) end();
      await flushPromises();
    }
    await Promise.all(asked);
  };
  await endAll();
  assertEquals(started.length, 50);
  // While the others waited, short turns have raised the limit.
  asked.push(...Array.from({ length: 40 }, () => ask("a")));
  await flushPromises();
  assertEquals(ends.length, 20);
  await endAll();
});
