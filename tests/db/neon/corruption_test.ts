/** A real server's answers with bytes changed, removed, repeated or inserted: the driver neither hangs nor crashes. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Statement } from "../../../src/db/driver/driver.ts";
import { ConnectError, ConnectionLostError } from "../../../src/db/errors.ts";
import { NeonDriver } from "../../../src/db/mod.ts";
import { recordConversation } from "../../support/recorded_conversation.ts";
import { ReplayedWebSocket } from "../../support/replayed_websocket.ts";

const RUNS = 10_000;
/** Runs at a time: they wait for deadlines, not for the processor. */
const AT_ONCE = 250;
const DEADLINE_MS = 50;

const FLIGHTS: readonly (readonly string[])[] = [
  ["begin", "select 1 as one, 'text' as text, now() as now, 5::int8 as big, null as none"],
  ["select id, id * 2.5 as numeric, array[id, null] as list from generate_series(1, 20) as id"],
  ["select 1/0", "select 2"],
  ["rollback", "do $$ begin raise notice 'noticed'; end $$"],
  // Sent by the name of a prepared statement.
  ["select id, id * 2.5 as numeric, array[id, null] as list from generate_series(1, 20) as id"],
];

function statements(texts: readonly string[]): Statement[] {
  return texts.map((text) => ({ text, values: [] }));
}

async function record(): Promise<Uint8Array[]> {
  return (await recordConversation(FLIGHTS.map(statements))).answers;
}

type Damage =
  | { kind: "change"; at: number; to: number }
  | { kind: "cut"; at: number; size: number }
  | { kind: "repeat"; at: number; size: number }
  | { kind: "insert"; at: number; bytes: Uint8Array }
  | { kind: "end"; at: number };

/** A position is a fraction of the part's length, so that it fits any part. */
const share = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const size = fc.integer({ min: 1, max: 64 });
const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({
    kind: fc.constant("change" as const),
    at: share,
    to: fc.integer({ min: 0, max: 255 }),
  }),
  fc.record({ kind: fc.constant("cut" as const), at: share, size }),
  fc.record({ kind: fc.constant("repeat" as const), at: share, size }),
  fc.record({
    kind: fc.constant("insert" as const),
    at: share,
    bytes: fc.uint8Array({ minLength: 1, maxLength: 64 }),
  }),
  fc.record({ kind: fc.constant("end" as const), at: share }),
);
const damages = fc.array(fc.tuple(fc.nat(FLIGHTS.length - 1), damage), {
  minLength: 1,
  maxLength: 4,
});

function damaged(bytes: Uint8Array, damage: Damage): Uint8Array {
  const at = Math.floor(damage.at * bytes.length);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (damage.kind) {
    case "change":
      return joined(before, [damage.to], after.subarray(1));
    case "cut":
      return joined(before, after.subarray(damage.size));
    case "repeat":
      return joined(before, after.subarray(0, damage.size), after);
    case "insert":
      return joined(before, damage.bytes, after);
    case "end":
      return before;
  }
}

function joined(...parts: ArrayLike<number>[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => Array.from(part)));
}

/** Runs the flights against the damaged answers, each under a deadline. Returns what happened to each. */
async function run(answers: readonly Uint8Array[]): Promise<string[]> {
  const sockets: ReplayedWebSocket[] = [];
  class Socket extends ReplayedWebSocket {
    constructor() {
      super(answers);
      sockets.push(this);
    }
  }
  const driver = new NeonDriver({
    url: "postgresql://user:password@127.0.0.1/database",
    wsProxy: "ws://127.0.0.1/v1",
    pipelineConnect: true,
    prepare: "on",
    webSocketConstructor: Socket,
  });
  const connection = await driver.connect({ timeoutMs: DEADLINE_MS });
  const outcomes: string[] = [];
  for (const flight of FLIGHTS) {
    const late = setTimeout(() => connection.close({ timeoutMs: 0 }), 2 * DEADLINE_MS);
    try {
      const { error } = await connection.flight(statements(flight));
      outcomes.push(error === undefined ? "answered" : "answered with an error");
    } catch (error) {
      assert(error instanceof ConnectError || error instanceof ConnectionLostError, String(error));
      outcomes.push(error.name);
    } finally {
      clearTimeout(late);
    }
  }
  await connection.close({ timeoutMs: 0 });
  await connection.closed;
  assertEquals(connection.state, "closed");
  assertEquals(sockets.map(({ readyState }) => readyState), [3]);
  return outcomes;
}

Deno.test("an undamaged recording gives the answers of the real server", async () => {
  assertEquals(await run(await record()), [
    "answered",
    "answered",
    "answered with an error",
    "answered",
    "answered",
  ]);
});

Deno.test("an error message without an end does not make the driver loop for ever", async () => {
  const text = "SFATAL\0C57P01\0Mterminating\0.";
  const unended = Uint8Array.from([
    69,
    0,
    0,
    0,
    text.length + 4,
    ...new TextEncoder().encode(text),
  ]);
  assertEquals(new Set(await run([unended])), new Set(["ConnectError"]));
});

Deno.test(`${RUNS} damaged streams: each flight gets an answer or an error of this layer, and no socket is left`, async () => {
  const parts = await record();
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.log(`seed ${seed}`);
  const counts: Record<string, number> = {};
  let left = RUNS;
  for (const sample of batches(fc.sample(damages, { numRuns: RUNS, seed }), AT_ONCE)) {
    const outcomes = await Promise.all(sample.map(async (damages) => {
      const answers = [...parts];
      for (const [part, damage] of damages) answers[part] = damaged(answers[part]!, damage);
      try {
        return await run(answers);
      } catch (error) {
        throw new Error(`seed ${seed}, damages ${JSON.stringify(damages)}`, { cause: error });
      }
    }));
    for (const outcome of outcomes.flat()) counts[outcome] = (counts[outcome] ?? 0) + 1;
    left -= sample.length;
  }
  assertEquals(left, 0);
  console.log(counts);
  // All four outcomes occur: the damage is neither harmless nor total.
  assertEquals(Object.keys(counts).length, 4);
});

function* batches<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let start = 0; start < all.length; start += size) yield all.slice(start, start + size);
}
