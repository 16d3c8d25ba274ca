/** Which length of lines the pool takes, on a simulated server. */
import { assert, assertEquals } from "@std/assert";
import { Gathering } from "../../../src/db/pool/gathering.ts";

/** How long a caller waits at a length. */
interface Server {
  /** Until its turn. */
  waitMs?(depth: number): number;
  /** From its turn on. */
  runMs(depth: number): number;
}

const LINES_COST_LESS: Server = { runMs: (depth) => 4 / depth };
const LINES_COST_MORE: Server = { runMs: () => 1, waitMs: (depth) => depth - 1 };
const ALL_THE_SAME: Server = { runMs: () => 1 };

/** One caller after the other reads. */
class Load {
  readonly gathering = new Gathering();
  nowMs = 1_000;
  /** How many reads went at each length. */
  readonly readsAt = new Map<number, number>();

  read(server: Server, times: number, { together = 1 } = {}): void {
    for (let n = 0; n < times; n += together) {
      const { depth } = this.gathering;
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
  const load = new Load();
  load.read(LINES_COST_LESS, 3_000, { together: 16 });
  assertEquals(load.gathering.depth, 16);
  assertEquals(load.readsWith(1), 16 + 2 * 256 + 256);
  load.losePlaces(16);
  load.read(ALL_THE_SAME, 1_600, { together: 16 });
  assertEquals(Math.round(load.gathering.depth), 4);
});

Deno.test("longer lines that are answered later are tried with less than one read of a hundred", () => {
  for (const together of [1, 16]) {
    const load = new Load();
    const tried = () => (load.readsWith(4) + load.readsWith(16)) / 512;
    load.read(LINES_COST_MORE, 2_000, { together });
    assertEquals(tried(), 1);
    // After rests of 4,000, 8,000, 16,000 and 32,000 reads.
    load.read(LINES_COST_MORE, 66_000, { together });
    assertEquals(tried(), 5);
    load.read(LINES_COST_MORE, 650_000, { together });
    assertEquals(tried(), 14);
    assertEquals([...load.readsAt.keys()], [1, 4, 16]);
  }
});

Deno.test("the longest lines are tried, too, where longer ones are of no use", () => {
  const load = new Load();
  load.read({ runMs: (depth) => depth > 4 ? 1 : 4 }, 8_000);
  assertEquals(load.gathering.depth, 16);
});

Deno.test("shorter lines are tried every ten seconds", () => {
  const load = new Load();
  load.read(LINES_COST_LESS, 3_000);
  const tried = load.readsWith(4);
  const sinceMs = load.nowMs;
  while (load.readsWith(4) === tried) load.read(LINES_COST_LESS, 1);
  assert(load.nowMs > sinceMs + 9_000 && load.nowMs < sinceMs + 11_000);
  load.read(LINES_COST_LESS, 100_000);
  assertEquals(load.readsWith(4), tried + 3 * 3 * 64);
});

Deno.test("lines of hardly any use are not taken", () => {
  const load = new Load();
  load.read({ runMs: (depth) => depth > 1 ? 0.95 : 1 }, 3_000);
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
    let runMs = 1;
    load.read({ runMs: () => runMs *= change }, 1_000);
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
    nowMs += depth > 1 ? 0.5 : 1;
    gathering.note({ callers: 1, askedMs: atMs, headMs: nowMs - atMs }, nowMs);
    asked.push({ atMs: nowMs, depth: gathering.depth });
  }
  assert(gathering.depth > 1);
});

Deno.test("between the shortest and the longest lines both ways are tried, each in its time", () => {
  const load = new Load();
  load.read({ runMs: (depth) => depth === 4 ? 5 : 10 }, 200_000);
  assertEquals(load.readsWith(16), 5 * 2 * 256);
  const apart = load.readsWith(1);
  assert(apart > 70 * 3 * 64 && apart < 100 * 3 * 64, `${apart} reads went alone`);
  assertEquals([...load.readsAt.keys()], [1, 4, 16]);
});

Deno.test("a slow read now and then does not tip a trial, but the wait of others behind it does", () => {
  const load = new Load();
  let reads = 0;
  const isSlow = () => ++reads % 50 === 0;
  load.read({ runMs: (depth) => isSlow() ? 500 : 4 / depth }, 3_000);
  assertEquals(load.gathering.depth, 16);
  load.read({
    runMs: (depth) => isSlow() ? 500 : 4 / depth,
    waitMs: (depth) => reads % 50 < 10 ? 6 * (depth - 1) : 0,
  }, 20_000);
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
