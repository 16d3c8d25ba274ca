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
    after(_, callback) {
      timers.push(callback);
      return () => {};
    },
  };
  /** How many requests run while one more waits. */
  const waits: { running: number | undefined } = { running: undefined };
  const limit = new LoopLimit(() => {
    if (waits.running !== undefined) isAllowed(waits.running);
  }, times);
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
  const isAllowed = (running = most()) => limit.allows({ running, ofClient: running, clients: 1 });
  /** A turn in which `running` requests run, and one more would like to. */
  const turn = (running: number, tookMs: number, used: { usedMs?: number } = {}) => {
    isAllowed(running);
    limit.note(running);
    endTurn(tookMs, used);
  };
  const grow = (turns: number) => {
    for (let count = 0; count < turns; count++) turn(most(), 1);
  };
  return {
    times,
    limit,
    isAllowed,
    turn,
    most,
    grow,
    endTurn,
    look,
    looks: () => timers.length,
    waits,
  };
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
  turn(608, 40);
  assertEquals(most(), 380);
  turn(380, 300);
  assertEquals(most(), 190);
  // Fewer ran than might.
  turn(80, 40);
  assertEquals(most(), 50);
  turn(50, 25);
  assertEquals(most(), 54);
  for (let count = 0; count < 10; count++) turn(most(), 300);
  assertEquals(most(), 16);
});

Deno.test("a turn is as long as the event loop has used the processor", () => {
  const { most, grow, turn } = limitWithTurns();
  grow(16);
  // Other processes had the processor, or other threads of this one used a second one.
  turn(42, 500, { usedMs: 5 });
  turn(42, 5, { usedMs: 500 });
  assertEquals(most(), 43);
  turn(42, 500, { usedMs: 500 });
  assertEquals(most(), 21);
});

Deno.test("a turn is measured once, by its most requests, and not where few requests run", () => {
  const { limit, most, grow, endTurn } = limitWithTurns();
  grow(16);
  // Sixteen may run in any case.
  for (const running of [15, 16]) {
    limit.note(running);
    endTurn(500);
  }
  assertEquals(most(), 43);
  for (const running of [39, 40, 38]) limit.note(running);
  endTurn(50);
  assertEquals(most(), 20);
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
  const { isAllowed, most, look, looks, waits } = limitWithTurns();
  assertEquals([isAllowed(), isAllowed(), looks()], [false, false, 1]);
  waits.running = 16;
  look(15, { usedMs: 7 });
  assertEquals([most(), looks()], [32, 1]);
  // The process has used its processor, or has not had it.
  waits.running = 32;
  for (const [tookMs, usedMs] of [[15, 8], [18.5, 0]] as const) {
    look(tookMs, { usedMs });
    assertEquals([most(), looks()], [32, 1]);
  }
  // None waits any more.
  waits.running = undefined;
  look(15, { usedMs: 0 });
  assertEquals([most(), looks()], [32, 0]);
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
  for (const usedMs of [15, 1, 1, 1]) {
    look(15, { usedMs });
    await flushPromises();
    started.push(running);
  }
  assertEquals(started, [16, 32, 48, 50]);
  look(15, { usedMs: 1 });
  // All connections are in use: to look again would change nothing.
  assertEquals(looks(), 0);
});

Deno.test("those that wait for the limit begin once the process is idle, also where another client's requests have ended", async () => {
  const { times, look, endTurn } = limitWithTurns();
  const options = { connections: 50, readDepth: () => 1, shedTargetMs: 0 };
  const turns = new ClientTurns(options, { clock: new ManualClock(), times });
  const started: string[] = [];
  const ends: (() => void)[] = [];
  const ask = (client: string, count: number) => {
    for (let index = 0; index < count; index++) {
      void turns.run({ client, isRead: false }, () => {
        started.push(client);
        return new Promise<void>((resolve) => client === "a" || ends.push(resolve));
      });
    }
  };
  const ofA = () => started.filter((client) => client === "a").length;
  for (const client of ["x", "y", "z"]) ask(client, 17);
  for (let count = 0; count < 5; count++) {
    look(15, { usedMs: 0 });
    await flushPromises();
  }
  ask("a", 20);
  assertEquals([started.length, ofA()], [64, 13]);
  // Long turns, in which the others' requests end but for one of each.
  const ending = ends.filter((_, at) => at % 17 > 0);
  for (const count of [1, 1, 1, 45]) {
    for (const end of ending.splice(0, count)) end();
    await flushPromises();
    endTurn(300);
  }
  assertEquals(ofA(), 13);
  for (let count = 0; count < 3; count++) {
    look(15, { usedMs: 0 });
    await flushPromises();
  }
  // A third of the connections.
  assertEquals(ofA(), 17);
});
