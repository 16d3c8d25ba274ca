import { assertEquals } from "@std/assert";
import { ClientTurns } from "../../src/deno/client_turns.ts";
import { LoopLimit, type ProcessTimes } from "../../src/deno/loop_limit.ts";
import { flushPromises, ManualClock } from "../support/manual_clock.ts";

/** A limit, and turns of the event loop and timers that a test makes. */
function limitWithTurns() {
  let [nowMs, cpuMs] = [0, 0];
  const ends: (() => void)[] = [];
  const timers: (() => void)[] = [];
  const times: ProcessTimes = {
    now: () => nowMs,
    cpuMs: () => cpuMs,
    atTurnEnd: (callback) => ends.push(callback),
    after: (_, callback) => timers.push(callback),
  };
  const limit = new LoopLimit(() => {}, times);
  const pass = (callbacks: (() => void)[]) => (tookMs: number, { usedMs = tookMs } = {}) => {
    nowMs += tookMs;
    cpuMs += usedMs;
    for (const callback of callbacks.splice(0)) callback();
  };
  const endTurn = pass(ends);
  /** The timers of 15 ms fire. */
  const look = pass(timers);
  /** How many requests of one client may run. */
  const most = () => {
    let running = 0;
    while (!limit.isReachedBy(running)) running++;
    return running;
  };
  /** A turn in which `running` requests run, and one more would like to. */
  const turn = (running: number, tookMs: number, used: { usedMs?: number } = {}) => {
    limit.allows({ running, ofClient: running, clients: 1 });
    limit.note(running);
    endTurn(tookMs, used);
  };
  const grow = (turns: number) => {
    for (let count = 0; count < turns; count++) turn(most(), 1);
  };
  return { times, limit, turn, most, grow, endTurn, look, looks: () => timers.length };
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
  // Sixteen may run in any case.
  for (const running of [15, 16]) {
    limit.note(running);
    endTurn(500);
  }
  assertEquals(most(), 43);
  limit.note(30);
  limit.note(31);
  endTurn(30);
  assertEquals(most(), 22);
});

Deno.test("past the limit a client gets its equal part, and requests wait in front of the event loop", async () => {
  const { times, endTurn } = limitWithTurns();
  const options = { connections: 100, readDepth: () => 1, shedTargetMs: 0 };
  const turns = new ClientTurns(options, { clock: new ManualClock(), times });
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
  // A long turn lowers it, also if none waits.
  asked.push(...Array.from({ length: 18 }, () => ask("a")));
  await flushPromises();
  endTurn(100);
  asked.push(ask("a"));
  await flushPromises();
  assertEquals(ends.length, 18);
  await endAll();
});

Deno.test("the limit grows while requests wait for those that run without the processor", () => {
  const { limit, most, look, looks } = limitWithTurns();
  const isAllowed = () => limit.allows({ running: most(), ofClient: most(), clients: 1 });
  assertEquals([isAllowed(), isAllowed(), looks()], [false, false, 1]);
  look(15, { usedMs: 7 });
  assertEquals([most(), looks()], [32, 0]);
  for (const [tookMs, usedMs] of [[15, 8], [18.5, 0]] as const) {
    // The process has used its processor, or has not had it.
    isAllowed();
    look(tookMs, { usedMs });
    assertEquals(most(), 32);
  }
});

Deno.test("requests that run for long hold up the others only until the process is idle", async () => {
  const { times, look, looks } = limitWithTurns();
  const options = { connections: 50, readDepth: () => 1, shedTargetMs: 0 };
  const turns = new ClientTurns(options, { clock: new ManualClock(), times });
  let running = 0;
  for (let count = 0; count < 60; count++) {
    void turns.run({ client: "a", isRead: false }, () => {
      running++;
      return new Promise<void>(() => {});
    });
  }
  const started = [];
  for (const usedMs of [15, 1, 1]) {
    look(15, { usedMs });
    await flushPromises();
    started.push(running);
  }
  assertEquals(started, [16, 32, 50]);
  // All connections are in use: to look again would change nothing.
  assertEquals(looks(), 0);
});
