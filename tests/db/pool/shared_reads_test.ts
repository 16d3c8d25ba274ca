/** Reads of several callers on one connection: which connection each takes, and which answer each gets. */
import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import {
  AcquireTimeoutError,
  type Database,
  DeadlineError,
  OwnerScope,
  PoolClosedError,
  type PoolOptions,
  ServerError,
  type SessionOptions,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import { type GatheredReads, Gathering } from "../../../src/db/pool/gathering.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ReadingServer } from "../../support/reading_server.ts";
import type { ScriptedConnection } from "../../support/scripted_driver.ts";
import { connectAfter, databaseOf, poolOf } from "../../support/test_pool.ts";

interface Place {
  readonly clock: ManualClock;
  readonly server: ReadingServer;
  readonly db: Database;
  /** Begins a read, and waits until it is sent or waits for a connection. */
  read(n: number, options?: SessionOptions): Promise<Outcome>;
  write(n: number): Promise<Outcome>;
  /** The numbers of the reads under way, a list for each connection. */
  lines(): (number | undefined)[][];
  /** Answers one flight of each connection. */
  answerAll(): Promise<void>;
}

/** What has come of a call so far. */
interface Outcome {
  readonly promise: Promise<unknown>;
  value?: unknown;
  error?: unknown;
}

function outcomeOf(promise: Promise<unknown>): Outcome {
  const outcome: Outcome = { promise };
  promise.then((value) => outcome.value = value, (error) => outcome.error = error);
  return outcome;
}

/** A test on a pool of one or more connections, and lines of at most three reads. */
function sharing(
  name: string,
  test: (place: Place) => Promise<void>,
  options: Partial<PoolOptions> & { owner?: OwnerScope; loginMs?: number } = {},
): void {
  Deno.test(name, async () => {
    const { owner = OwnerScope.lasting(), loginMs = 0, ...poolOptions } = options;
    const clock = new ManualClock();
    const server = new ReadingServer();
    const settings = {
      size: 1,
      maxOverflow: 0,
      readDepth: 3,
      clock,
      ...(loginMs > 0 && { connect: connectAfter(server.driver, { clock, loginMs }) }),
      ...poolOptions,
    };
    const pool = poolOf(server.driver, settings);
    const db = databaseOf(pool, { clock, scope: owner });
    const begin = async (run: () => Promise<unknown>): Promise<Outcome> => {
      const outcome = outcomeOf(run());
      await flushPromises();
      return outcome;
    };
    await test({
      clock,
      server,
      db,
      read: (n, options) =>
        begin(async () => {
          const session = db.session({ readOnly: true, ...options });
          const [[row]] = await session.commit([sql<{ n: number }>`select ${n} as n`]);
          return row!.n;
        }),
      write: (n) => begin(() => db.session().commit([sql`insert into t values (${n})`])),
      lines: () => server.busy.map((connection) => server.running(connection)),
      async answerAll() {
        for (const connection of server.busy) server.answer(connection);
        await flushPromises();
      },
    });
    // `close()` must have no lease to wait for.
    assertEquals(pool.stats().leased, 0);
    await db.close({ timeoutMs: 0 });
    assertEquals(clock.pending, 0);
  });
}

/** Answers flights until there are none. */
async function drain({ server, answerAll }: Place): Promise<void> {
  do {
    await flushPromises();
    await answerAll();
  } while (server.busy.length > 0);
}

sharing(
  "reads go behind one another where no connection is free, and the rest wait",
  async (place) => {
    const { read, lines, server, db } = place;
    const reads = [];
    for (const n of [1, 2, 3, 4, 5]) reads.push(await read(n));
    assertEquals(lines(), [[1, 2, 3]]);
    assertEquals(db.stats().waiting, 2);
    server.answer(server.driver.connections[0]!);
    await flushPromises();
    assertEquals([reads[0]!.value, lines()], [1, [[2, 3, 4]]]);
    await drain(place);
    assertEquals(reads.map(({ value }) => value), [1, 2, 3, 4, 5]);
    assertEquals(db.stats().counters.shared, 4);
    assertEquals([db.stats().idle, server.driver.connections.length], [1, 1]);
  },
);

sharing("a read takes a free connection before it goes behind another", async (place) => {
  const { read, write, lines } = place;
  const writes = [await write(1), await write(2)];
  await drain(place);
  assertEquals(writes.map(({ error }) => error), [undefined, undefined]);
  for (const n of [1, 2, 3]) await read(n);
  assertEquals(lines().map(({ length }) => length).sort(), [1, 2]);
  await drain(place);
}, { size: 2 });

sharing("the next read goes to the connection with the fewest", async (place) => {
  const { read, lines, server } = place;
  for (const n of [1, 2, 3, 4, 5]) await read(n);
  assertEquals(lines(), [[1, 2, 3], [4, 5]]);
  const [first] = server.busy;
  server.answer(first!);
  server.answer(first!);
  await flushPromises();
  await read(6);
  assertEquals(lines(), [[3, 6], [4, 5]]);
  await drain(place);
}, { size: 2 });

sharing("others may go behind a read that took one of several idle connections", async (place) => {
  const { read, write, lines, db } = place;
  await write(1);
  await write(2);
  await drain(place);
  for (const n of [1, 2, 3, 4, 5, 6]) await read(n);
  assertEquals(lines().map(({ length }) => length), [3, 3]);
  assertEquals(db.stats().waiting, 0);
  await drain(place);
}, { size: 2 });

/** Three idle connections, and the time of a read. */
async function warmUp(place: Place, ms: number, { size = 3 } = {}): Promise<void> {
  for (let n = 1; n <= size; n++) await place.write(n);
  await place.answerAll();
  await readAlone(place, ms, 20);
}

const AUTO = { size: 3, readDepth: "auto" } as const;

/** Four reads at a time, until the pool knows which lines are answered sooner. `ms` is for four, by the lengths of the lines. */
async function compare(place: Place, ms: (lengths: number[]) => number): Promise<void> {
  const { read, lines, clock } = place;
  await warmUp(place, 0.1);
  for (let turn = 0; turn < 1_000; turn++) {
    for (const n of [1, 2, 3, 4]) await read(n);
    await clock.advance(ms(lines().map(({ length }) => length)));
    await drain(place);
  }
}

/** Each connection costs the machine time, as on a busy one. */
const byConnections = (lengths: number[]) => 0.1 * lengths.length;

/** The server answers one after the other, and has time for all connections. */
const byLongest = (lengths: number[]) => 0.1 * Math.max(...lengths);

sharing(
  "reads that are sooner answered together go out together, although connections are free",
  async (place) => {
    const { read, lines, db } = place;
    await compare(place, byConnections);
    for (const n of [1, 2, 3, 4]) await read(n);
    assertEquals([lines(), db.stats().idle], [[[1, 2, 3, 4]], 2]);
    await drain(place);
  },
  AUTO,
);

sharing("a given depth is for lines where no connection is free", async (place) => {
  const { read, lines } = place;
  await compare(place, byConnections);
  for (const n of [1, 2, 3]) await read(n);
  assertEquals(lines().map(({ length }) => length), [1, 1, 1]);
  await drain(place);
}, { ...AUTO, readDepth: 16 });

sharing("far from the server a read takes a free connection", async (place) => {
  const { read, lines } = place;
  await warmUp(place, 5);
  for (const n of [1, 2, 3, 4]) await read(n);
  assertEquals(lines().map(({ length }) => length).toSorted(), [1, 1, 2]);
  await drain(place);
}, AUTO);

sharing("a way that varies does not lower how many reads are let in", async (place) => {
  const { read, clock, answerAll, db } = place;
  await warmUp(place, 10);
  for (let turn = 0; turn < 40; turn++) {
    for (let n = 0; n < 3; n++) await read(n);
    await clock.advance(10 + turn % 3);
    await answerAll();
  }
  assertEquals(db.readDepth, 16);
  await drain(place);
}, AUTO);

sharing("reads that are sooner answered apart have connections of their own", async (place) => {
  const { read, lines } = place;
  await compare(place, byLongest);
  for (const n of [1, 2, 3]) await read(n);
  assertEquals(lines().map(({ length }) => length), [1, 1, 1]);
  await drain(place);
}, AUTO);

sharing("reads behind a slow one move at once to a connection that is free", async (place) => {
  const { read, lines, clock, db } = place;
  await compare(place, byConnections);
  for (const n of [1, 2, 3]) await read(n);
  await clock.advance(12);
  assertEquals(lines().toSorted(), [[1, 2, 3], [2], [3]]);
  assertEquals(db.stats().counters.moved, 2);
  await drain(place);
}, AUTO);

/** Answers all flights of each connection in one turn of the event loop. */
async function answerTogether(place: Place): Promise<void> {
  for (const connection of place.server.busy) await answerLine(place, connection);
}

/** One read after the other. */
async function readAlone({ read, clock, answerAll }: Place, ms: number, times: number) {
  for (let n = 0; n < times; n++) {
    await read(n);
    await clock.advance(ms);
    await answerAll();
  }
}

sharing("on a machine where most reads take as long, none of them is slow", async (place) => {
  const { read, clock, db } = place;
  await compare(place, byConnections);
  await readAlone(place, 8, 400);
  for (const n of [1, 2, 3]) await read(n);
  await clock.advance(55);
  assertEquals(db.stats().counters.moved, 0);
  await clock.advance(20);
  assertEquals(db.stats().counters.moved, 2);
  await drain(place);
}, AUTO);

sharing("a few slow reads do not make it usual to be slow", async (place) => {
  const { read, clock, db } = place;
  await compare(place, byConnections);
  for (let turn = 0; turn < 100; turn++) {
    await readAlone(place, 4, 2);
    for (const n of [1, 2, 3, 4]) await read(n);
    await clock.advance(0.1);
    await answerTogether(place);
  }
  for (const n of [1, 2, 3]) await read(n);
  await clock.advance(12);
  assertEquals(db.stats().counters.moved, 2);
  await drain(place);
}, AUTO);

/** What the pool tells `Gathering` from now on. */
function recordGathering() {
  const { note, noteLostPlace } = Gathering.prototype;
  const notes: (GatheredReads & { nowMs: number })[] = [];
  const lost: [askedAt: number, nowMs: number][] = [];
  Gathering.prototype.note = (reads, nowMs) => void notes.push({ ...gatheredOf(reads), nowMs });
  Gathering.prototype.noteLostPlace = (...read) => void lost.push(read);
  return {
    notes,
    lost,
    [Symbol.dispose]: () => void Object.assign(Gathering.prototype, { note, noteLostPlace }),
  };
}

function gatheredOf({ callers, askedMs, headMs }: GatheredReads): GatheredReads {
  return { callers, askedMs, headMs };
}

sharing(
  "of a read that finds another one under way, the wait and the time that it runs are noted",
  async (place) => {
    const { read, clock } = place;
    await warmUp(place, 1);
    using recorded = recordGathering();
    const askedMs = clock.now();
    for (const n of [1, 2]) await read(n);
    await clock.advance(3);
    await drain(place);
    assertEquals(recorded.notes, [{ callers: 1, askedMs, headMs: 3, nowMs: askedMs + 3 }]);
  },
  AUTO,
);

sharing(
  "reads that are answered together are noted together, and only the first one has run",
  async (place) => {
    const { read, clock, server } = place;
    await readAlone(place, 1, 2);
    await drain(place);
    using recorded = recordGathering();
    const sinceMs = clock.now();
    for (const n of [1, 2, 3]) await read(n);
    await clock.advance(1);
    server.answer(server.busy[0]!);
    await read(4);
    await clock.advance(2);
    await answerTogether(place);
    const [askedMs, nowMs] = [3 * sinceMs + 1, sinceMs + 3];
    assertEquals(recorded.notes, [{ callers: 3, askedMs, headMs: 2, nowMs }]);
  },
  { ...AUTO, size: 1 },
);

sharing("the time that the first one runs is not noted if it had no choice", async (place) => {
  const { read, clock } = place;
  await readAlone(place, 1, 2);
  using recorded = recordGathering();
  const askedMs = clock.now();
  for (const n of [1, 2]) await read(n);
  await clock.advance(3);
  await answerTogether(place);
  assertEquals(recorded.notes, [{ callers: 1, askedMs, headMs: 0, nowMs: askedMs + 3 }]);
}, { ...AUTO, size: 1 });

sharing(
  "reads that waited in the queue, or for a login of their own, are not noted",
  async (place) => {
    const { read, clock } = place;
    using recorded = recordGathering();
    for (const n of [1, 2, 3, 4]) await read(n);
    await clock.advance(100);
    await clock.advance(3);
    await drain(place);
    assertEquals(recorded.notes, []);
  },
  { ...AUTO, size: 2, loginMs: 100 },
);

sharing("the first read on a new connection is not noted", async (place) => {
  const { read, lines } = place;
  using recorded = recordGathering();
  for (const n of [1, 2, 3, 4, 5]) await read(n);
  assertEquals(lines(), [[1, 2, 3, 4], [5]]);
  await answerTogether(place);
  assertEquals(recorded.notes.map(({ callers }) => callers), [3]);
}, { ...AUTO, size: 2 });

sharing("a read whose caller leaves behind another one loses its place", async (place) => {
  const { read, clock, server } = place;
  await readAlone(place, 1, 2);
  using recorded = recordGathering();
  const controllers = [2, 3].map(() => new AbortController());
  const askedAt = clock.now();
  await read(1);
  for (const { signal } of controllers) await read(2, { signal });
  await clock.advance(2);
  controllers[1]!.abort();
  await flushPromises();
  assertEquals(recorded.lost, [[askedAt, askedAt + 2]]);
  server.answer(server.busy[0]!);
  await read(4);
  controllers[0]!.abort();
  await flushPromises();
  assertEquals(recorded.lost.length, 1);
  await answerTogether(place);
  assertEquals(recorded.notes.map(({ callers }) => callers), [1]);
}, { ...AUTO, size: 1 });

sharing("a read that waited in the queue, and leaves, is not noted", async (place) => {
  const { read, clock } = place;
  using recorded = recordGathering();
  const controller = new AbortController();
  await read(1);
  await read(2, { signal: controller.signal });
  await clock.advance(100);
  controller.abort();
  await drain(place);
  assertEquals(recorded.lost, []);
}, { ...AUTO, size: 1, loginMs: 100 });

sharing(
  "a read that is moved has lost its place, and its second place is not noted",
  async (place) => {
    const { read, lines, clock, server } = place;
    await warmUp(place, 0.5);
    using recorded = recordGathering();
    const askedAt = clock.now();
    for (const n of [1, 2, 3, 4]) await read(n);
    for (const connection of server.busy) {
      if (server.running(connection).length === 1) server.answer(connection);
    }
    await flushPromises();
    assertEquals(lines().map(({ length }) => length), [2]);
    await clock.advance(22);
    assertEquals(lines().map(({ length }) => length).toSorted(), [1, 2]);
    assertEquals(recorded.lost, [[askedAt, askedAt + 20]]);
    await drain(place);
    assertEquals(recorded.notes.map(({ askedMs }) => askedMs), [askedAt, askedAt]);
  },
  AUTO,
);

sharing(
  "while others share, reads may go behind one that took an idle connection",
  async (place) => {
    const { read, lines, server, db } = place;
    for (const n of [1, 2, 3, 4, 5, 6, 7]) await read(n);
    assertEquals(lines(), [[1, 2, 3], [4, 5, 6], [7]]);
    const [first, , third] = server.busy;
    for (const connection of [first, first, first, third]) server.answer(connection!);
    await flushPromises();
    assertEquals([lines(), db.stats().idle], [[[4, 5, 6]], 2]);
    for (const n of [8, 9, 10, 11, 12, 13]) await read(n);
    assertEquals(lines().map(({ length }) => length), [3, 3, 3]);
    assertEquals(db.stats().waiting, 0);
    await drain(place);
  },
  { size: 3 },
);

sharing("below the limit a line that is long enough opens another connection", async (place) => {
  const { read, lines } = place;
  for (const n of [1, 2, 3, 4]) await read(n);
  assertEquals(lines(), [[1, 2, 3], [4]]);
  await drain(place);
}, { size: 2 });

sharing("a write waits for no more reads than were there, and shares with none", async (place) => {
  const { read, write, lines } = place;
  for (const n of [1, 2]) await read(n);
  await write(3);
  const late = await read(4);
  assertEquals(lines(), [[1, 2]]);
  await place.answerAll();
  await place.answerAll();
  assertEquals(lines(), [[3]]);
  await drain(place);
  assertEquals(late.value, 4);
});

sharing("while a write waits, reads go to the other connections", async (place) => {
  const { read, write, lines, server } = place;
  for (const n of [1, 2, 3, 4]) await read(n);
  server.answer(server.busy[0]!);
  await flushPromises();
  await write(9);
  await read(5);
  assertEquals(lines(), [[2, 3, 5], [4]]);
  await place.answerAll();
  assertEquals(lines(), [[3, 5], [9]]);
  await drain(place);
}, { size: 2 });

sharing(
  "a connection that comes free for a read takes the reads that wait, also past a write",
  async (place) => {
    const { read, write, lines, server, db } = place;
    await write(1);
    const late = [await read(2), await write(3), await read(4), await read(5), await read(6)];
    assertEquals([lines(), db.stats().waiting], [[[1]], 5]);
    server.answer(server.busy[0]!);
    await flushPromises();
    // They go out together, and the write is next.
    assertEquals(lines(), [[2, 4, 5]]);
    await read(7);
    for (let k = 0; k < 3; k++) await place.answerAll();
    assertEquals(lines(), [[3]]);
    await drain(place);
    assertEquals(late.map(({ error }) => error), [
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  },
);

sharing(
  "past a write go only four reads if the server takes long for each",
  async (place) => {
    const { read, write, lines, clock } = place;
    // In lines of two, of which each read takes 5 ms.
    for (let n = 1; n <= 20; n += 2) {
      await read(n);
      await read(n + 1);
      for (let k = 0; k < 2; k++) {
        await clock.advance(5);
        await place.answerAll();
      }
    }
    await write(21);
    await read(22);
    await write(23);
    for (const n of [24, 25, 26, 27]) await read(n);
    await place.answerAll();
    assertEquals(lines(), [[22, 24, 25, 26]]);
    await drain(place);
  },
  { readDepth: "auto" },
);

sharing("an error reaches the caller of its statement alone", async (place) => {
  const { read, server } = place;
  const reads = [await read(1), await read(2), await read(3)];
  const [connection] = server.busy;
  server.answer(connection!);
  server.answer(connection!, { fails: true });
  server.answer(connection!);
  await flushPromises();
  assertEquals([reads[0]!.value, reads[2]!.value], [1, 3]);
  assertInstanceOf(reads[1]!.error, ServerError);
  assertEquals(reads[1]!.error.message, "division by zero of 2");
  assertEquals(reads[1]!.error.statement, "select $1 as n");
});

sharing(
  "a caller that gives up leaves, its rows are thrown away, and nothing is cancelled",
  async (place) => {
    const { read, server, lines } = place;
    const [head, behind] = [new AbortController(), new AbortController()];
    const reads = [
      await read(1, { signal: head.signal }),
      await read(2, { signal: behind.signal }),
      await read(3),
    ];
    behind.abort();
    head.abort();
    await flushPromises();
    assertInstanceOf(reads[0]!.error, DeadlineError);
    assertInstanceOf(reads[1]!.error, DeadlineError);
    const [connection] = server.driver.connections;
    assertEquals([connection!.cancels, lines()], [0, [[1, 2, 3]]]);
    await drain(place);
    assertEquals([reads[2]!.value, connection!.state], [3, "idle"]);
  },
);

sharing(
  "a caller that gives up alone on its connection has its statement cancelled",
  async (place) => {
    const { read, server } = place;
    const controller = new AbortController();
    const only = await read(1, { signal: controller.signal });
    controller.abort();
    await flushPromises();
    const [connection] = server.driver.connections;
    assertEquals(connection!.cancels, 1);
    server.answer(connection!, { fails: true });
    await flushPromises();
    assertInstanceOf(only.error, DeadlineError);
    // The cancel request may come late.
    assertEquals(connection!.state, "closed");
  },
);

/** As on a busy machine, where quick reads look slow too. */
const SLOW_LOGIN = { loginMs: 100 };

/** Opens a connection with such a login. */
async function openSlowly(place: Place): Promise<void> {
  await place.write(0);
  await place.clock.advance(SLOW_LOGIN.loginMs);
  await drain(place);
}

/** Answers all flights of one connection. */
function answerLine(place: Place, connection: ScriptedConnection): Promise<void> {
  return answerEach(place, [connection], Infinity);
}

/** Answers the first `count` flights of each of these connections, or all of those that have fewer. */
async function answerEach(
  { server }: Place,
  connections: readonly ScriptedConnection[],
  count: number,
): Promise<void> {
  for (const connection of connections) {
    const reads = Math.min(count, server.running(connection).length);
    for (let n = 0; n < reads; n++) server.answer(connection);
  }
  await flushPromises();
}

/** On two connections: four reads, of which the first one is slow, and those behind it are moved to the quick one. */
async function moveFromSlow(place: Place) {
  const { read, write, server, clock, answerAll } = place;
  await write(1);
  await write(2);
  await clock.advance(SLOW_LOGIN.loginMs);
  await answerAll();
  const reads = [];
  for (const n of [1, 2, 3, 4]) reads.push(await read(n));
  const slow = server.busy.find((connection) => server.running(connection)[0] === 1)!;
  const quick = server.busy.find((connection) => connection !== slow)!;
  const behind = server.running(slow).slice(1);
  await answerLine(place, quick);
  await clock.advance(30);
  assertEquals(server.running(quick), behind);
  return { reads, slow, quick, behind };
}

sharing("reads behind a slow one move to another connection, and it goes on", async (place) => {
  const { read, server, lines, db } = place;
  const { reads, slow, quick, behind } = await moveFromSlow(place);
  assertEquals(db.stats().counters.moved, behind.length);
  assertEquals(slow.cancels, 0);
  // No further read goes to the slow one.
  await read(5);
  assert(server.running(quick).includes(5));
  await answerLine(place, quick);
  assertEquals(reads.slice(1).map(({ value }) => value), [2, 3, 4]);
  assertEquals(reads[0]!.value, undefined);
  await answerLine(place, slow);
  assertEquals([reads[0]!.value, slow.state, lines()], [1, "idle", []]);
}, { size: 2 });

/** Most reads take so long. The others show how long the way is. */
async function readUsually(place: Place, ms: number): Promise<void> {
  for (let n = 0; n < 60; n++) {
    await readAlone(place, 0, 1);
    await readAlone(place, ms, 15);
  }
}

for (const [usualMs, limitMs] of [[2, 25], [100, 800], [600, 1_000]] as const) {
  sharing(`where most reads take ${usualMs} ms, one is slow after ${limitMs} ms`, async (place) => {
    const { read, lines, clock, db } = place;
    await readUsually(place, usualMs);
    for (const n of [1, 2, 3]) await read(n);
    await clock.advance(limitMs - 15);
    assertEquals([db.stats().counters.moved, lines()], [0, [[1, 2, 3]]]);
    await clock.advance(30);
    assertEquals(db.stats().counters.moved, 2);
    await drain(place);
  }, { size: 2 });
}

/** The connections that go on serving reads while the first reads of `slow` others run. */
async function besideSlow(
  place: Place,
  { size, slow, reads }: { size: number; slow: number; reads: number },
): Promise<ScriptedConnection[]> {
  const { read, server, clock } = place;
  await warmUp(place, 5, { size });
  for (let n = 0; n < reads; n++) await read(n);
  const quick = server.busy.slice(slow);
  await clock.advance(20);
  for (const connection of quick) server.answer(connection);
  await clock.advance(20);
  return quick;
}

for (
  const [what, size, slow, readDepth, lengths] of [
    ["go to the others", 3, 1, "auto", [24, 24]],
    ["do not make their lines more than twice as long", 4, 3, "auto", [32]],
    ["go nowhere where the depth is given", 3, 1, 16, [16, 16]],
  ] as const
) {
  sharing(`the places behind slow reads ${what}`, async (place) => {
    const quick = await besideSlow(place, { size, slow, reads: 300 });
    // Those that were moved have their places at once, however many have come before them.
    for (let turn = 0; turn < 5; turn++) await answerEach(place, quick, 16);
    assertEquals(quick.map((each) => place.server.running(each).length), [...lengths]);
    // The slow reads end.
    await drain(place);
    for (let n = 0; n < 100; n++) await place.read(n);
    assertEquals(place.lines().map(({ length }) => length), Array(size).fill(16));
    await drain(place);
  }, { size, readDepth });
}

sharing("the places behind a slow read that none was behind go to the others", async (place) => {
  const { read, server, clock } = place;
  await warmUp(place, 5);
  await read(0);
  const [slow] = server.busy;
  await clock.advance(40);
  for (let n = 1; n < 100; n++) await read(n);
  const quick = server.busy.filter((connection) => connection !== slow);
  assertEquals(quick.map((each) => server.running(each).length), [24, 24]);
  await drain(place);
}, AUTO);

sharing("a write beside a slow read waits for a connection that serves reads", async (place) => {
  const { read, write, server } = place;
  const quick = await besideSlow(place, { size: 3, slow: 1, reads: 48 });
  await write(1_000);
  for (let n = 100; n < 200; n++) await read(n);
  const isWritten = () => quick.some((each) => server.running(each).includes(1_000));
  for (let turn = 0; turn < 3; turn++) {
    assertEquals(isWritten(), false);
    await answerEach(place, quick, 8);
  }
  assertEquals(isWritten(), true);
  await drain(place);
}, AUTO);

sharing("where all connections are slow, no read is moved", async (place) => {
  const { read, server, clock, db } = place;
  const reads = [await read(1), await read(2)];
  await clock.advance(1_000);
  assertEquals(db.stats().counters.moved, 0);
  assertEquals(server.running(server.driver.connections[0]!), [1, 2]);
  await drain(place);
  assertEquals(reads.map(({ value }) => value), [1, 2]);
});

sharing(
  "a slow read whose caller has left is cancelled once the others have moved",
  async (place) => {
    const { read, server, clock } = place;
    const controller = new AbortController();
    const head = await read(1, { signal: controller.signal });
    const others = [await read(2), await read(3), await read(4)];
    const slow = server.busy.find((connection) => server.running(connection)[0] === 1)!;
    const quick = server.busy.find((connection) => connection !== slow)!;
    controller.abort();
    await answerLine(place, quick);
    assertInstanceOf(head.error, DeadlineError);
    assertEquals(slow.cancels, 0);
    await clock.advance(200);
    assertEquals([slow.cancels, slow.state], [1, "busy"]);
    await clock.advance(500);
    assertEquals([slow.cancels, slow.state], [1, "closed"]);
    await drain(place);
    assertEquals(others.map(({ value }) => value), [2, 3, 4]);
  },
  { size: 2 },
);

sharing(
  "a read that was moved costs no connection where the next one takes long to open",
  async (place) => {
    const { server, clock, db } = place;
    const { slow } = await moveFromSlow(place);
    // Nobody waits for the two behind. Each takes as long as the slow one did.
    while (server.running(slow).length > 0) {
      server.answer(slow);
      await flushPromises();
      await clock.advance(40);
    }
    await drain(place);
    assertEquals([slow.cancels, slow.state, db.stats().counters.destroyed], [0, "idle", 0]);
  },
  { size: 2, ...SLOW_LOGIN },
);

sharing(
  "there, those behind a read that was given up wait for it, for the time of a login",
  async (place) => {
    const { read, server, clock, db } = place;
    await openSlowly(place);
    const controller = new AbortController();
    const first = [await read(1, { signal: controller.signal }), await read(2), await read(3)];
    controller.abort();
    await clock.advance(120);
    const [connection] = server.driver.connections;
    assertEquals([connection!.cancels, server.running(connection!)], [0, [1, 2, 3]]);
    await drain(place);
    assertEquals(first.map(({ value }) => value), [undefined, 2, 3]);
    assertEquals([db.stats().counters.moved, server.driver.connections.length], [0, 1]);

    const longer = new AbortController();
    await read(4, { signal: longer.signal });
    const behind = await read(5);
    longer.abort();
    // All that the pool has seen, 120 ms, may be the way to the server and back.
    await clock.advance(180);
    assertEquals([connection!.cancels, server.running(connection!)], [1, [4, 5]]);
    await clock.advance(500 + SLOW_LOGIN.loginMs);
    assertEquals(connection!.state, "closed");
    await drain(place);
    assertEquals(behind.value, 5);
  },
  SLOW_LOGIN,
);

sharing(
  "an event loop that is always late refuses callers at their timeout nevertheless",
  async (place) => {
    const { read, clock } = place;
    await read(1);
    const behind = await read(2);
    const after = clock.after.bind(clock);
    clock.after = (timeMs, callback) => after(timeMs + 30, callback);
    // The check that was due has no delay.
    await clock.advance(2_000);
    clock.after = after;
    assertInstanceOf(behind.error, AcquireTimeoutError);
    await drain(place);
  },
  { acquireTimeoutMs: 1_000 },
);

sharing("while the pool closes, reads behind a slow one finish", async (place) => {
  const { read, write, db, clock, server } = place;
  await write(1);
  await write(2);
  await drain(place);
  const reads = [];
  for (const n of [1, 2, 3, 4]) reads.push(await read(n));
  const slow = server.busy.find((connection) => server.running(connection)[0] === 1)!;
  const closed = db.close({ timeoutMs: 5_000 });
  for (const connection of server.busy) {
    if (connection !== slow) await answerLine(place, connection);
  }
  await clock.advance(100);
  await drain(place);
  await closed;
  assertEquals(reads.map(({ value }) => value), [1, 2, 3, 4]);
}, { size: 2 });

sharing("there, no caller is refused for a read that was given up", async (place) => {
  const { read, server, clock } = place;
  await openSlowly(place);
  const controller = new AbortController();
  await read(1, { signal: controller.signal });
  const behind = await read(2);
  await clock.advance(950);
  controller.abort();
  await clock.advance(130);
  assertEquals(behind.error, undefined);
  await clock.advance(500 + SLOW_LOGIN.loginMs);
  assertEquals(server.driver.connections.map(({ state }) => state), ["closed", "busy"]);
  await drain(place);
  assertEquals(behind.value, 2);
}, { acquireTimeoutMs: 1_000, ...SLOW_LOGIN });

sharing("reads that were given up have that time together", async (place) => {
  const { read, server, clock } = place;
  await openSlowly(place);
  await read(0);
  await drain(place);
  const controller = new AbortController();
  for (let n = 1; n <= 14; n++) await read(n, { signal: controller.signal });
  const last = await read(15);
  controller.abort();
  const [connection] = server.driver.connections;
  let answered = 0;
  for (; connection!.cancels === 0; answered++) {
    await clock.advance(40);
    server.answer(connection!);
    await flushPromises();
  }
  assertEquals(answered, 3);
  await clock.advance(500 + SLOW_LOGIN.loginMs);
  await drain(place);
  assertEquals(last.value, 15);
}, { readDepth: 16, ...SLOW_LOGIN });

sharing("a read behind slow ones waits no longer than for a connection", async (place) => {
  const { read, server, clock, db } = place;
  const reads = [await read(1), await read(2)];
  await clock.advance(999);
  assertEquals(reads[1]!.error, undefined);
  await clock.advance(21);
  assertInstanceOf(reads[1]!.error, AcquireTimeoutError);
  assertEquals(reads[1]!.error.pool?.limit, 1);
  assertEquals(db.stats().counters.timedOut, 1);
  await drain(place);
  assertEquals([reads[0]!.value, server.driver.connections.length], [1, 1]);
}, { acquireTimeoutMs: 1_000 });

sharing(
  "a read behind others of the usual length waits no longer than for a connection",
  async (place) => {
    const { read, clock, answerAll } = place;
    await readUsually(place, 100);
    const reads = [await read(1), await read(2), await read(3)];
    await clock.advance(700);
    await answerAll();
    await clock.advance(290);
    assertEquals(reads.map(({ value, error }) => value ?? error), [1, undefined, undefined]);
    await clock.advance(30);
    assertInstanceOf(reads[2]!.error, AcquireTimeoutError);
    await drain(place);
    assertEquals(reads[1]!.value, 2);
  },
  { acquireTimeoutMs: 1_000 },
);

sharing(
  "where most reads take long, one that was given up keeps its connection for 250 ms",
  async (place) => {
    const { read, clock, server, db } = place;
    await readUsually(place, 100);
    const controller = new AbortController();
    await read(1, { signal: controller.signal });
    const behind = await read(2);
    controller.abort();
    const [connection] = server.driver.connections;
    await clock.advance(240);
    assertEquals([db.stats().counters.moved, connection!.cancels], [0, 0]);
    await clock.advance(40);
    assertEquals([db.stats().counters.moved, connection!.cancels], [1, 1]);
    await clock.advance(500);
    assertEquals(connection!.state, "closed");
    await drain(place);
    assertEquals(behind.value, 2);
  },
);

sharing("the end of a connection costs each of its reads one replay", async (place) => {
  const { read, write, server, lines, db } = place;
  await write(1);
  await drain(place);
  const reads = [await read(1), await read(2), await read(3)];
  server.cut(server.busy[0]!);
  await flushPromises();
  // The first one may have been the cause, and runs alone.
  assertEquals(lines(), [[1]]);
  await drain(place);
  assertEquals(reads.map(({ value }) => value), [1, 2, 3]);
  assertEquals(db.stats().replayed, 3);
});

sharing("the time of a read begins when it is its turn", async (place) => {
  const { read, server, clock } = place;
  const limits = { statementTimeoutMs: 50 };
  const reads = [await read(1), await read(2, limits)];
  await clock.advance(5_000);
  assertEquals(reads[1]!.error, undefined);
  server.answer(server.busy[0]!);
  await flushPromises();
  // The server's own timeout for each of BEGIN, the settings, the statement and COMMIT, and a second.
  await clock.advance(1_199);
  assertEquals(reads[1]!.error, undefined);
  await clock.advance(1);
  assertEquals(server.driver.connections[0]!.cancels, 1);
  await clock.advance(500);
  assertInstanceOf(reads[1]!.error, DeadlineError);
});

Deno.test("a lease of a new connection tells when its login is done", async () => {
  const server = new ReadingServer();
  const pool = poolOf(server.driver);
  const lease = await pool.acquire({ scope: OwnerScope.lasting(), shares: true });
  const { ready } = lease.connection;
  const answered = lease.connection.flight([{ text: "begin", values: [] }]);
  await ready;
  server.answer(server.busy[0]!);
  await answered;
  await lease.release();
  await pool.close({ timeoutMs: 0 });
});

sharing("close() ends what is shared, and each caller gets the error", async (place) => {
  const { read, db, clock, server } = place;
  const reads = [await read(1), await read(2), await read(3)];
  const closed = db.close({ timeoutMs: 100 });
  await clock.advance(100);
  assertEquals(server.driver.connections[0]!.cancels, 1);
  await clock.advance(500);
  await closed;
  for (const { error } of reads) assertInstanceOf(error, PoolClosedError);
});

for (
  const [what, options, statement] of [
    ["that may write", {}, sql`select 1`],
    ["that waits for its snapshot", {
      readOnly: true,
      isolation: "serializable",
      deferrable: true,
    }, sql`select 1`],
    ["that sets something", { readOnly: true }, sql`set work_mem = '1MB'`],
    ["with a session lock", { readOnly: true }, sql`select pg_advisory_lock(1)`],
    [
      "with a setting of the session",
      { readOnly: true },
      sql`select set_config('a.b', '1', false)`,
    ],
    ["with a hidden name", { readOnly: true }, trustedSql(`select u&"\\0070g_x"(1)`)],
    ["that calls a procedure", { readOnly: true }, sql`call p()`],
  ] as const
) {
  sharing(`a unit ${what} shares with none`, async (place) => {
    const { db, read, server, lines } = place;
    const unit = outcomeOf(db.session(options).commit([statement]));
    await flushPromises();
    const behind = await read(2);
    assertEquals(lines().map(({ length }) => length), [1]);
    server.answer(server.busy[0]!);
    await drain(place);
    await unit.promise;
    assertEquals(behind.value, 2);
  });
}

for (const isDirect of [false, undefined]) {
  sharing(
    `behind a pooler no read shares, and each gets a connection (direct: ${isDirect})`,
    async (place) => {
      const { read, lines, server } = place;
      const first = await read(0);
      server.driver.connections[0]!.isDirect = isDirect;
      await drain(place);
      const reads = [await read(1), await read(2), await read(3)];
      for (const connection of server.driver.connections) connection.isDirect = isDirect;
      assertEquals(lines().map(({ length }) => length), [1, 1, 1]);
      await drain(place);
      assertEquals([first, ...reads].map(({ value }) => value), [0, 1, 2, 3]);
    },
    { size: 3 },
  );
}

sharing("with a depth of 1 no read shares", async (place) => {
  const { read, lines } = place;
  const reads = [await read(1), await read(2)];
  assertEquals(lines(), [[1]]);
  await drain(place);
  assertEquals(reads.map(({ value }) => value), [1, 2]);
}, { readDepth: 1 });

sharing("in a request of a Worker no read shares", async (place) => {
  const { read, lines, db } = place;
  const reads = [await read(1), await read(2)];
  assertEquals(lines(), [[1], [2]]);
  await drain(place);
  assertEquals(reads.map(({ value }) => value), [1, 2]);
  await db.close({ timeoutMs: 0 });
}, { owner: OwnerScope.request(), maxOverflow: 1 });

sharing("a session of several flights has its connection to itself", async (place) => {
  const { db, read, server, lines } = place;
  const session = db.session({ readOnly: true });
  const first = outcomeOf(session.query(sql`select ${1} as n`));
  await flushPromises();
  await read(2);
  assertEquals(lines(), [[1]]);
  server.answer(server.busy[0]!);
  await first.promise;
  const last = outcomeOf(session.commit([sql`select ${3} as n`]));
  await flushPromises();
  assertEquals(lines(), [[3]]);
  await drain(place);
  assertEquals(last.value, [[{ n: 3 }]]);
});

sharing("a line of `auto` is as long as its reads are quick", async (place) => {
  const { read, lines, clock, server } = place;
  // One that shows how long the way is, and slow ones: 5 ms each.
  await read(0);
  await drain(place);
  for (let n = 0; n < 30; n++) {
    await read(n);
    await read(n);
    for (let k = 0; k < 2; k++) {
      await clock.advance(5);
      await place.answerAll();
    }
  }
  await drain(place);
  const opened = server.driver.connections.length;
  const before = opened;
  for (let n = 1; n <= 3; n++) await read(n);
  assert(lines().every(({ length }) => length === 1), JSON.stringify(lines()));
  await drain(place);
  // Quick ones.
  for (let n = 0; n < 100; n++) {
    for (const _ of server.driver.connections) await read(n);
    await drain(place);
  }
  for (let n = 1; n <= 12; n++) await read(n);
  assert(server.driver.connections.length <= before + 3);
  assert(lines().some(({ length }) => length > 1));
  await drain(place);
}, { size: 20, readDepth: "auto" });

Deno.test("a bad depth is refused", () => {
  const { driver } = new ReadingServer();
  for (const readDepth of [0, 1.5, -1, NaN, 1_000]) {
    assertThrows(() => poolOf(driver, { readDepth }), RangeError);
  }
});
