import { assertEquals } from "@std/assert";
import { DepthTrial } from "../../../src/db/pool/depth_trial.ts";

const DEPTHS = { shorter: 4, longer: 16, turnMin: 64 };

/** A trial whose callers wait for so long in its turns; the last one is for late answers. */
function trialOf(...waitsMs: readonly [number, number, number, number, number]): DepthTrial {
  const trial = new DepthTrial(DEPTHS, 0);
  for (const [n, waitMs] of waitsMs.entries()) {
    trial.note({ callers: 32, askedAt: n, waitedMs: 32 * waitMs }, n);
    trial.note({ callers: 32, askedAt: n, waitedMs: 32 * waitMs }, n + 1);
  }
  return trial;
}

Deno.test("both lengths have a turn in each half, and late answers one more", () => {
  const trial = new DepthTrial(DEPTHS, 0);
  const depths = [];
  for (let nowMs = 1; !trial.isOver; nowMs++) {
    depths.push(trial.depth);
    trial.note({ callers: 64, askedAt: nowMs - 1, waitedMs: 1 }, nowMs);
  }
  assertEquals(depths, [4, 16, 16, 4, 4]);
});

Deno.test("longer lines are sooner if they are in both halves", () => {
  assertEquals(trialOf(3, 2, 2, 3, 0).isLongerSooner(0.9), true);
  assertEquals(trialOf(3, 2, 2, 3, 0).isLongerSooner(0.6), false);
  assertEquals(trialOf(3, 2, 3, 3, 0).isLongerSooner(0.9), false);
  assertEquals(trialOf(2, 2, 2, 3, 0).isLongerSooner(0.9), false);
});

Deno.test("the more reads are on their way when a turn begins, the longer it lasts", () => {
  const trial = new DepthTrial(DEPTHS, 0);
  for (const [beganAt, depths] of [[0, [4, 16]], [10, [16, 16]], [20, [16, 4]]] as const) {
    trial.note({ callers: 100, askedAt: beganAt - 1, waitedMs: 1 }, beganAt + 1);
    trial.note({ callers: 399, askedAt: beganAt, waitedMs: 1 }, beganAt + 2);
    assertEquals(trial.depth, depths[0]);
    trial.note({ callers: 1, askedAt: beganAt, waitedMs: 1 }, beganAt + 10);
    assertEquals(trial.depth, depths[1]);
  }
});

Deno.test("an answer counts in the turn in which it was asked for, also when it comes later", () => {
  const trial = new DepthTrial(DEPTHS, 0);
  const endTurn = (n: number) => trial.note({ callers: 64, askedAt: n, waitedMs: 64 }, n + 1);
  endTurn(0);
  endTurn(1);
  trial.note({ callers: 1, askedAt: 1, waitedMs: 64 }, 2.5);
  trial.note({ callers: 1, askedAt: -1, waitedMs: 64 }, 2);
  for (const n of [2, 3, 4]) endTurn(n);
  assertEquals([127, 129].map((ms) => trial.isLongerSooner(ms / 65)), [false, true]);
});

Deno.test("the wait of a read that loses its place counts in the turn in which it was asked for, and in no other", () => {
  const trial = new DepthTrial(DEPTHS, 0);
  const endTurn = (n: number) => trial.note({ callers: 64, askedAt: n, waitedMs: 64 }, n + 1);
  endTurn(0);
  trial.noteLostPlace(-1, 33);
  trial.noteLostPlace(1, 33);
  for (const n of [1, 2, 3, 4]) endTurn(n);
  assertEquals([95, 97].map((ms) => trial.isLongerSooner(ms / 64)), [false, true]);
});
