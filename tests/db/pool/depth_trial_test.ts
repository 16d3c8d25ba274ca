import { assertEquals } from "@std/assert";
import { DepthTrial } from "../../../src/db/pool/depth_trial.ts";

const OPTIONS = { present: 4, other: 16, share: 0.9, turnMin: 64 };

/** A trial whose callers wait for so long in its turns; the last one is for late answers. */
function trialOf(...waitsMs: readonly [number, number, number, number, number]): DepthTrial {
  const trial = new DepthTrial(OPTIONS, 0);
  for (const [n, waitMs] of waitsMs.entries()) endTurn(trial, n, 64 * waitMs);
  return trial;
}

/** Half of the answers come in the turn, and the last one when the next one begins. */
function endTurn(trial: DepthTrial, n: number, waitedMs = 64): void {
  for (const nowMs of [n, n + 1]) {
    trial.note({ callers: 32, askedAt: n, waitedMs: waitedMs / 2 }, nowMs);
  }
}

Deno.test("both lengths have a turn in each half, and late answers one more", () => {
  const trial = new DepthTrial(OPTIONS, 0);
  const depths = [];
  for (let n = 0; !trial.isOver; n++) {
    depths.push(trial.depth);
    endTurn(trial, n, 64 - trial.depth);
  }
  assertEquals(depths, [4, 16, 16, 4, 4]);
});

Deno.test("a trial is won if callers wait at the other length for less than its share in both halves", () => {
  assertEquals(trialOf(30, 26, 26, 30, 0).isWon, true);
  assertEquals(trialOf(30, 28, 26, 30, 0).isWon, false);
  assertEquals(trialOf(30, 26, 28, 30, 0).isWon, false);
  assertEquals(trialOf(30, 26, 26, 28, 0).isWon, false);
});

Deno.test("a trial ends when callers have waited at the other length for so long that it cannot win", () => {
  const trial = new DepthTrial(OPTIONS, 0);
  endTurn(trial, 0);
  for (let read = 1; read <= 28; read++) {
    assertEquals([trial.depth, trial.isOver], [16, false]);
    trial.note({ callers: 1, askedAt: 1, waitedMs: 2 }, 2);
  }
  // At the present one they waited for 64 ms in sum; 0.9 of it less 28 times 2 ms are left.
  trial.noteLostPlace(1, 1.4);
  assertEquals(trial.isOver, false);
  trial.noteLostPlace(1, 2.3);
  assertEquals([trial.isOver, trial.isWon], [true, false]);
});

Deno.test("no trial ends before the present length has had its turn", () => {
  const trial = new DepthTrial(OPTIONS, 0);
  trial.note({ callers: 63, askedAt: 0, waitedMs: 63_000 }, 1);
  assertEquals([trial.depth, trial.isOver], [4, false]);
  trial.note({ callers: 1, askedAt: 0, waitedMs: 1 }, 1);
  assertEquals([trial.depth, trial.isOver], [16, false]);
});

Deno.test("a trial that is lost by lost places alone is lost", () => {
  const trial = new DepthTrial(OPTIONS, 0);
  endTurn(trial, 0);
  trial.note({ callers: 1, askedAt: 1, waitedMs: 0.5 }, 1);
  trial.noteLostPlace(1, 58.6);
  assertEquals([trial.isOver, trial.isWon], [true, false]);
});

Deno.test("at equal waits the present length stays", () => {
  for (const waits of [[8, 8, 7, 8, 8], [8, 7, 8, 8, 8]] as const) {
    const trial = new DepthTrial({ ...OPTIONS, share: 1 }, 0);
    for (const [n, waitMs] of waits.entries()) endTurn(trial, n, 64 * waitMs);
    assertEquals([trial.isOver, trial.isWon], [true, false]);
  }
});

Deno.test("a turn of more than ten seconds ends the trial, and the shorter lines have won", () => {
  for (const [present, other] of [[4, 16], [16, 4]] as const) {
    for (const turnsBefore of [0, 1, 2, 3, 4]) {
      const trial = new DepthTrial({ ...OPTIONS, present, other }, 0);
      for (let n = 0; n < turnsBefore; n++) endTurn(trial, n, 64 - n);
      const askedAt = turnsBefore;
      trial.note({ callers: 1, askedAt, waitedMs: 1 }, askedAt + 10_000);
      assertEquals(trial.isOver, false);
      trial.note({ callers: 1, askedAt, waitedMs: 1 }, askedAt + 10_001);
      assertEquals([trial.isOver, trial.isWon], [true, other < present]);
    }
  }
});

Deno.test("the more reads are on their way when a turn begins, the longer it lasts", () => {
  const trial = new DepthTrial(OPTIONS, 0);
  for (const [beganAt, depths] of [[0, [4, 16]], [10, [16, 16]], [20, [16, 4]]] as const) {
    trial.note({ callers: 100, askedAt: beganAt - 1, waitedMs: 1 }, beganAt + 1);
    trial.note({ callers: 399, askedAt: beganAt, waitedMs: 1 }, beganAt + 2);
    assertEquals(trial.depth, depths[0]);
    trial.note({ callers: 1, askedAt: beganAt, waitedMs: 1 }, beganAt + 10);
    assertEquals(trial.depth, depths[1]);
  }
});

Deno.test("a turn that lasts longer, as more reads were on their way, has more wait until the other length has lost", () => {
  const trial = new DepthTrial(OPTIONS, 0);
  endTurn(trial, 0);
  trial.note({ callers: 100, askedAt: 0.5, waitedMs: 100 }, 1.5);
  trial.note({ callers: 100, askedAt: 1, waitedMs: 359 }, 2);
  assertEquals(trial.isOver, false);
  trial.note({ callers: 1, askedAt: 1, waitedMs: 1 }, 2);
  assertEquals(trial.isOver, true);
});

Deno.test("an answer counts in the turn in which it was asked for, also when it comes later", () => {
  const isWonAfter = (waitedMs: number) => {
    const trial = new DepthTrial(OPTIONS, 0);
    endTurn(trial, 0);
    endTurn(trial, 1, 32);
    trial.note({ callers: 1, askedAt: 1, waitedMs }, 2.5);
    trial.note({ callers: 1, askedAt: -1, waitedMs: 64 }, 2);
    for (const n of [2, 3, 4]) endTurn(trial, n, n === 2 ? 32 : 64);
    return trial.isWon;
  };
  assertEquals([26, 27].map(isWonAfter), [true, false]);
});

Deno.test("the wait of a read that loses its place counts in the turn in which it was asked for, and in no other", () => {
  const isWonAfter = (lostAt: number) => {
    const trial = new DepthTrial(OPTIONS, 0);
    endTurn(trial, 0);
    trial.noteLostPlace(-1, 100);
    trial.noteLostPlace(1, lostAt);
    for (const n of [1, 2, 3, 4]) endTurn(trial, n, n === 1 || n === 2 ? 32 : 64);
    return trial.isWon;
  };
  assertEquals([26, 27].map(isWonAfter), [true, false]);
});
