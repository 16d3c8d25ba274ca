/** Which length of lines the pool takes, on a simulated server. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { Gathering } from "../../../src/db/pool/gathering.ts";

/** How long it takes until the next answer, by the length of lines when its caller asked. */
interface Server {
  /** Until it is the caller's turn. */
  waitMs?(depth: number): number;
  /** From then on. */
  runMs(depth: number): number;
}

const LINES_COST_LESS: Server = { runMs: (depth) => 0.4 / depth };
const LINES_COST_MORE: Server = { runMs: () => 0.1, waitMs: (depth) => 0.1 * (depth - 1) };
const ALL_THE_SAME: Server = { runMs: () => 0.1 };

/** Some callers read, each again as soon as it has its answer. */
class Load {
  readonly gathering = new Gathering();
  nowMs = 1_000;
  /** How many reads were asked for at each length. */
  readonly readsAt = new Map<number, number>();
  /** How often another length than the one before was taken, or tried. */
  changes = 0;
  readonly #underWay: number;
  readonly #asked: { readonly atMs: number; readonly depth: number }[] = [];
  #depth = 1;

  /** `underWay`: how many callers there are, or groups of them that have their answers together. */
  constructor({ underWay = 8 } = {}) {
    this.#underWay = underWay;
  }

  read(server: Server, times: number, { together = 1 } = {}): void {
    for (let n = 0; n < times; n += together) {
      while (this.#asked.length < this.#underWay) this.#ask(together);
      const { atMs, depth } = this.#asked.shift()!;
      const begunAt = this.nowMs + (server.waitMs?.(depth) ?? 0);
      this.nowMs = begunAt + server.runMs(depth);
      const headMs = this.nowMs - begunAt;
      this.gathering.note({ callers: together, askedMs: together * atMs, headMs }, this.nowMs);
    }
  }

  #ask(together: number): void {
    const { depth } = this.gathering;
    if (depth !== this.#depth) this.changes++;
    this.#depth = depth;
    this.readsAt.set(depth, this.readsWith(depth) + together);
    this.#asked.push({ atMs: this.nowMs, depth });
  }

  /** All have their answers, and nobody asks for a while. */
  pause(ms: number): void {
    this.#asked.length = 0;
    this.nowMs += ms;
  }

  readsWith(depth: number): number {
    return this.readsAt.get(depth) ?? 0;
  }

  losePlaces(times: number, { waitedMs = 5 } = {}): void {
    for (let n = 0; n < times; n++) this.gathering.noteLostPlace(this.nowMs - waitedMs, this.nowMs);
  }
}

Deno.test("lines that are answered sooner become longer, within four thousand reads", () => {
  const load = new Load();
  assertEquals(load.gathering.depth, 1);
  load.read(LINES_COST_LESS, 4_000);
  assertEquals(load.gathering.depth, 16);
});

Deno.test("answers that come together count as many", () => {
  const [singly, together] = [1, 16].map((together) => {
    const load = new Load({ underWay: 32 / together });
    load.read(LINES_COST_LESS, 6_000, { together });
    assertEquals(load.gathering.depth, 16);
    return load.readsWith(1);
  });
  assertAlmostEquals(singly!, together!, 300);
  const load = new Load();
  load.read(LINES_COST_LESS, 4_000);
  load.losePlaces(16);
  load.read(ALL_THE_SAME, 1_600, { together: 16 });
  assertEquals(Math.round(load.gathering.depth), 4);
});

Deno.test("longer lines that are answered later are tried seldom, and end when they have lost", () => {
  for (const together of [1, 16]) {
    const load = new Load({ underWay: together === 1 ? 8 : 2 });
    const trials = () => load.changes / 2;
    load.read(LINES_COST_MORE, 3_000, { together });
    assertEquals(trials(), 1);
    // After rests of 4,000, 8,000, 16,000 and 32,000 reads.
    load.read(LINES_COST_MORE, 66_000, { together });
    assertEquals(trials(), 5);
    load.read(LINES_COST_MORE, 650_000, { together });
    assertEquals(trials(), 15);
    assertEquals([...load.readsAt.keys()], [1, 4, 16]);
    // Callers wait for four times as long there, and for sixteen times. Those under way when it ends come on top.
    assertAlmostEquals(load.readsWith(4) / 8, 0.9 * 256 / 4, 3 * together + 16);
    assertAlmostEquals(load.readsWith(16) / 7, 0.9 * 256 / 16, 3 * together + 16);
  }
});

Deno.test("longer lines are not tried while few reads are under way, also if they come in bursts", () => {
  const lonely = new Load({ underWay: 1 });
  lonely.read({ runMs: () => 0.01 }, 20_000);
  assertEquals([...lonely.readsAt.keys()], [1]);
  const bursts = new Load({ underWay: 1 });
  for (let n = 0; n < 2_000; n++) {
    bursts.read({ runMs: () => 10 }, 10, { together: 10 });
    bursts.pause(50);
  }
  assertEquals([...bursts.readsAt.keys()], [1]);
});

Deno.test("longer lines are tried on a server that is too slow for its load, however few answers come", () => {
  const load = new Load({ underWay: 3 });
  load.read({ runMs: (depth) => 20 / depth }, 4_000);
  assertEquals(load.gathering.depth, 16);
});

Deno.test("a night without reads delays a trial by less than a thousand answers", () => {
  const load = new Load();
  load.read(LINES_COST_MORE, 3_000);
  load.pause(12 * 3_600_000);
  // The rest of the first one that was lost is in them.
  load.read(LINES_COST_LESS, 5_500);
  assertEquals(load.gathering.depth, 16);
});

Deno.test("the longest lines are tried, too, where longer ones are of no use", () => {
  const load = new Load();
  load.read({ runMs: (depth) => depth > 4 ? 0.1 : 0.4 }, 9_000);
  assertEquals(load.gathering.depth, 16);
});

Deno.test("shorter lines are tried every ten seconds, and end when they have lost", () => {
  const load = new Load();
  load.read(LINES_COST_LESS, 4_000);
  const { changes } = load;
  const tried = load.readsWith(4);
  const sinceMs = load.nowMs;
  while (load.changes === changes) load.read(LINES_COST_LESS, 1);
  assertAlmostEquals(load.nowMs - sinceMs, 10_000, 100);
  while (load.nowMs < sinceMs + 65_000) load.read(LINES_COST_LESS, 1);
  const trials = (load.changes - changes) / 2;
  assertEquals(trials, 6);
  assertAlmostEquals((load.readsWith(4) - tried) / trials, 64 / 4, 12);
});

Deno.test("lines of hardly any use are not taken", () => {
  const load = new Load();
  load.read({ runMs: (depth) => depth > 1 ? 0.095 : 0.1 }, 3_000);
  assertEquals([...load.readsAt.keys()], [1, 4]);
  assertEquals(load.gathering.depth, 1);
});

Deno.test("lines of no use are not taken, and those that are taken stay until shorter ones are sooner", () => {
  const load = new Load();
  load.read(ALL_THE_SAME, 60_000);
  assertEquals(load.gathering.depth, 1);
  load.read(LINES_COST_LESS, 20_000);
  assertEquals(load.gathering.depth, 16);
  load.read(ALL_THE_SAME, 500_000);
  assertEquals(load.gathering.depth, 16);
  load.read({ runMs: (depth) => depth === 4 ? 0.099 : 0.1 }, 150_000);
  assertEquals(load.gathering.depth, 4);
});

Deno.test("when lines begin to cost more, they end within ten seconds and two trials", () => {
  const load = new Load();
  load.read(LINES_COST_LESS, 4_000);
  const sinceMs = load.nowMs;
  while (load.gathering.depth > 1 || load.nowMs < sinceMs + 10_000) load.read(LINES_COST_MORE, 1);
  load.read(LINES_COST_MORE, 500);
  assertEquals(load.gathering.depth, 1);
  assert(load.nowMs < sinceMs + 11_000, `after ${load.nowMs - sinceMs} ms`);
});

Deno.test("when the load has gone, lines end within a minute, also if a trial was under way", () => {
  for (const reads of [1_500, 2_000, 3_000, 3_500, 4_000]) {
    const load = new Load();
    load.read(LINES_COST_LESS, reads);
    const sinceMs = load.nowMs;
    const page = () => {
      load.pause(5_000);
      load.read(LINES_COST_MORE, 8);
    };
    page();
    while (load.gathering.depth > 1) page();
    assert(load.nowMs < sinceMs + 60_000, `after ${load.nowMs - sinceMs} ms`);
    for (let n = 0; n < 100; n++) page();
    assertEquals(load.gathering.depth, 1);
  }
});

Deno.test("a machine that becomes slower or quicker does not tip a trial", () => {
  for (const change of [1.003, 0.997]) {
    const load = new Load();
    load.read(ALL_THE_SAME, 1_000);
    let runMs = 0.1;
    load.read({ runMs: () => runMs *= change }, 1_500);
    assertEquals([...load.readsAt.keys()], [1, 4]);
    assertEquals(load.gathering.depth, 1);
  }
});

Deno.test("reads that were on their way when a turn began do not count in it", () => {
  const load = new Load({ underWay: 100 });
  load.read({ runMs: (depth) => depth > 1 ? 0.05 : 0.1 }, 6_000);
  assert(load.gathering.depth > 1);
});

Deno.test("between the shortest and the longest lines both ways are tried, each in its time", () => {
  const load = new Load();
  const server: Server = { runMs: (depth) => depth === 4 ? 0.5 : 0.9 };
  load.read(server, 4_000);
  assertEquals(load.gathering.depth, 4);
  const { changes } = load;
  const alone = load.readsWith(1);
  load.read(server, 196_000);
  // After rests of 4,000, 8,000, 16,000, 32,000 and twice 64,000 reads, and nine times in a hundred seconds.
  assertEquals((load.changes - changes) / 2, 6 + 9);
  assertAlmostEquals((load.readsWith(1) - alone) / 9, 64 * 0.5 / 0.9, 12);
  assertEquals([...load.readsAt.keys()], [1, 4, 16]);
});

Deno.test("a few reads that run for long by themselves do not tip a trial, but the wait behind them does", () => {
  for (const [headMs, takesLines] of [[20, true], [0, false]] as const) {
    const load = new Load({ underWay: 3 });
    while (load.gathering.depth === 1) load.read(LINES_COST_LESS, 1);
    load.read(LINES_COST_LESS, 220);
    for (let n = 0; n < 12; n++) {
      load.gathering.note({ callers: 1, askedMs: load.nowMs - 20, headMs }, load.nowMs);
    }
    load.read(LINES_COST_LESS, 1_000);
    assertEquals(load.gathering.depth > 1, takesLines);
  }
});

Deno.test("the wait of reads that lose their places counts in a trial", () => {
  for (const [waitedMs, takesLines] of [[0, true], [18, false]] as const) {
    const load = new Load({ underWay: 3 });
    while (load.gathering.depth === 1) load.read(LINES_COST_LESS, 1);
    load.read(LINES_COST_LESS, 200);
    load.losePlaces(14, { waitedMs });
    load.read(LINES_COST_LESS, 1_000);
    assertEquals(load.gathering.depth > 1, takesLines);
  }
});

Deno.test("one of four hundred reads may lose its place behind others", () => {
  const load = new Load();
  load.read(LINES_COST_LESS, 4_000);
  load.losePlaces(14);
  assertEquals(Math.floor(load.gathering.depth), 2);
  load.losePlaces(10);
  assertEquals(load.gathering.depth, 0);
  load.read(ALL_THE_SAME, 1_200);
  assertEquals(Math.round(load.gathering.depth), 3);
});
