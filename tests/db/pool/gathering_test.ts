/** Which length of lines the pool takes, on a simulated server. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { Gathering } from "../../../src/db/pool/gathering.ts";

/** How long a caller waits at a length. */
interface Server {
  /** Until its turn. */
  waitMs?(depth: number): number;
  /** From its turn on. */
  runMs(depth: number): number;
}

const LINES_COST_LESS: Server = { runMs: (depth) => 0.4 / depth };
const LINES_COST_MORE: Server = { runMs: () => 0.1, waitMs: (depth) => 0.1 * (depth - 1) };
const ALL_THE_SAME: Server = { runMs: () => 0.1 };

/** One caller after the other reads. */
class Load {
  readonly gathering = new Gathering();
  nowMs = 1_000;
  /** How many reads went at each length. */
  readonly readsAt = new Map<number, number>();
  /** How often another length than the one before was taken, or tried. */
  changes = 0;
  #depth = 1;

  read(server: Server, times: number, { together = 1 } = {}): void {
    for (let n = 0; n < times; n += together) {
      const { depth } = this.gathering;
      if (depth !== this.#depth) this.changes++;
      this.#depth = depth;
      this.readsAt.set(depth, this.readsWith(depth) + together);
      const askedAt = this.nowMs;
      const begunAt = askedAt + (server.waitMs?.(depth) ?? 0);
      this.nowMs = begunAt + server.runMs(depth);
      const headMs = this.nowMs - begunAt;
      this.gathering.note({ callers: together, askedMs: together * askedAt, headMs }, this.nowMs);
    }
  }

  readsWith(depth: number): number {
    return this.readsAt.get(depth) ?? 0;
  }

  losePlaces(times: number): void {
    for (let n = 0; n < times; n++) this.gathering.noteLostPlace(this.nowMs - 5, this.nowMs);
  }
}

Deno.test("lines that are answered sooner become longer, within three thousand reads", () => {
  const load = new Load();
  assertEquals(load.gathering.depth, 1);
  load.read(LINES_COST_LESS, 3_000);
  assertEquals(load.gathering.depth, 16);
});

Deno.test("answers that come together count as many", () => {
  const readsAlone = [1, 16].map((together) => {
    const load = new Load();
    load.read(LINES_COST_LESS, 3_000, { together });
    assertEquals(load.gathering.depth, 16);
    return load.readsWith(1);
  });
  assertAlmostEquals(readsAlone[0]!, readsAlone[1]!, 64);
  const load = new Load();
  load.read(LINES_COST_LESS, 3_000);
  load.losePlaces(16);
  load.read(ALL_THE_SAME, 1_600, { together: 16 });
  assertEquals(Math.round(load.gathering.depth), 4);
});

Deno.test("longer lines that are answered later are tried seldom, and end when they have lost", () => {
  for (const together of [1, 16]) {
    const load = new Load();
    const trials = () => load.changes / 2;
    load.read(LINES_COST_MORE, 2_000, { together });
    assertEquals(trials(), 1);
    // After rests of 4,000, 8,000, 16,000 and 32,000 reads.
    load.read(LINES_COST_MORE, 66_000, { together });
    assertEquals(trials(), 5);
    load.read(LINES_COST_MORE, 650_000, { together });
    assertEquals(trials(), 15);
    assertEquals([...load.readsAt.keys()], [1, 4, 16]);
    // Callers wait for four times as long there, and for sixteen times.
    assertAlmostEquals(load.readsWith(4), 8 * 0.9 * 256 / 4, 8 * together);
    assertAlmostEquals(load.readsWith(16), 7 * 0.9 * 256 / 16, 7 * together);
  }
});

Deno.test("longer lines are not tried while few answers come, whether together or apart", () => {
  for (const together of [1, 10]) {
    const load = new Load();
    load.read({ runMs: () => 1.2 * together }, 20_000, { together });
    assertEquals([...load.readsAt.keys()], [1]);
    load.read(LINES_COST_LESS, 3_000);
    assertEquals(load.gathering.depth, 16);
  }
});

Deno.test("a night without reads delays a trial by some hundred answers", () => {
  const load = new Load();
  load.read(LINES_COST_MORE, 2_000);
  load.nowMs += 12 * 3_600_000;
  load.read(LINES_COST_LESS, 6_000);
  assertEquals(load.gathering.depth, 16);
});

Deno.test("the longest lines are tried, too, where longer ones are of no use", () => {
  const load = new Load();
  load.read({ runMs: (depth) => depth > 4 ? 0.1 : 0.4 }, 8_000);
  assertEquals(load.gathering.depth, 16);
});

Deno.test("shorter lines are tried every ten seconds, and end when they have lost", () => {
  const load = new Load();
  load.read(LINES_COST_LESS, 3_000);
  const { changes } = load;
  const tried = load.readsWith(4);
  const sinceMs = load.nowMs;
  while (load.changes === changes) load.read(LINES_COST_LESS, 1);
  assertAlmostEquals(load.nowMs - sinceMs, 10_000, 100);
  while (load.nowMs < sinceMs + 65_000) load.read(LINES_COST_LESS, 1);
  const trials = (load.changes - changes) / 2;
  assertEquals(trials, 6);
  assertAlmostEquals(load.readsWith(4) - tried, trials * 64 / 4, trials);
});

Deno.test("lines of hardly any use are not taken", () => {
  const load = new Load();
  load.read({ runMs: (depth) => depth > 1 ? 0.095 : 0.1 }, 3_000);
  assertEquals(load.gathering.depth, 1);
});

Deno.test("lines of no use are not taken, and not kept", () => {
  const load = new Load();
  load.read(ALL_THE_SAME, 60_000);
  assertEquals(load.gathering.depth, 1);
  load.read(LINES_COST_LESS, 10_000);
  assertEquals(load.gathering.depth, 16);
  load.read({ runMs: (depth) => depth === 4 ? 0.99 : 1 }, 12_000);
  assertEquals(load.gathering.depth, 4);
});

Deno.test("when lines begin to cost more, they end within ten seconds and two trials", () => {
  const load = new Load();
  load.read(LINES_COST_LESS, 3_000);
  const sinceMs = load.nowMs;
  while (load.gathering.depth > 1 || load.nowMs < sinceMs + 10_000) load.read(LINES_COST_MORE, 1);
  load.read(LINES_COST_MORE, 500);
  assertEquals(load.gathering.depth, 1);
  assert(load.nowMs < sinceMs + 20_000);
});

Deno.test("a machine that becomes slower or quicker does not tip a trial", () => {
  for (const change of [1.003, 0.997]) {
    const load = new Load();
    let runMs = 0.1;
    load.read({ runMs: () => runMs *= change }, 1_500);
    assertEquals([...load.readsAt.keys()], [1, 4]);
    assertEquals(load.gathering.depth, 1);
  }
});

Deno.test("reads that were on their way when a turn began do not count in it", () => {
  const gathering = new Gathering();
  let nowMs = 0;
  // A hundred callers: each asks as soon as it has its answer, which comes when all others have theirs.
  const asked = Array.from({ length: 100 }, () => ({ atMs: 0, depth: gathering.depth }));
  for (let n = 0; n < 5_000; n++) {
    const { atMs, depth } = asked.shift()!;
    nowMs += depth > 1 ? 0.05 : 0.1;
    gathering.note({ callers: 1, askedMs: atMs, headMs: nowMs - atMs }, nowMs);
    asked.push({ atMs: nowMs, depth: gathering.depth });
  }
  assert(gathering.depth > 1);
});

Deno.test("between the shortest and the longest lines both ways are tried, each in its time", () => {
  const load = new Load();
  const server: Server = { runMs: (depth) => depth === 4 ? 0.5 : 0.9 };
  load.read(server, 3_000);
  const alone = load.readsWith(1);
  load.read(server, 197_000);
  // At once, and after rests of 4,000, 8,000, 16,000, 32,000 and twice 64,000 reads.
  assertAlmostEquals(load.readsWith(16), 7 * 0.9 * 256 * 0.5 / 0.9, 7);
  // In a hundred seconds.
  assertAlmostEquals(load.readsWith(1) - alone, 9 * 64 * 0.5 / 0.9, 9);
  assertEquals([...load.readsAt.keys()], [1, 4, 16]);
});

Deno.test("a slow read now and then does not tip a trial, but the wait of others behind it does", () => {
  const load = new Load();
  let reads = 0;
  const isSlow = () => ++reads % 50 === 0;
  load.read({ runMs: (depth) => isSlow() ? 20 : 0.4 / depth }, 4_000);
  assertEquals(load.gathering.depth, 16);
  load.read({
    runMs: (depth) => isSlow() ? 20 : 0.4 / depth,
    waitMs: (depth) => reads % 50 < 10 ? 0.6 * (depth - 1) : 0,
  }, 40_000);
  assertEquals(load.gathering.depth, 1);
});

Deno.test("the wait of a read that loses its place counts for the length at which it was asked for", () => {
  const gathering = new Gathering();
  let nowMs = 0;
  for (let n = 0; n < 2_000; n++) {
    const askedAt = nowMs;
    // Lines are quicker, but for the one read of twenty that loses its place.
    if (gathering.depth > 1 && n % 20 === 0) gathering.noteLostPlace(askedAt, nowMs += 25);
    const headMs = gathering.depth > 1 ? 0.5 : 1;
    gathering.note({ callers: 1, askedMs: nowMs, headMs }, nowMs + headMs);
    nowMs += headMs;
  }
  assertEquals(gathering.depth, 1);
});

Deno.test("one of four hundred reads may lose its place behind others", () => {
  const load = new Load();
  load.read(LINES_COST_LESS, 3_000);
  load.losePlaces(14);
  assertEquals(Math.floor(load.gathering.depth), 2);
  load.losePlaces(10);
  assertEquals(load.gathering.depth, 0);
  load.read(ALL_THE_SAME, 1_200);
  assertEquals(Math.round(load.gathering.depth), 3);
});
