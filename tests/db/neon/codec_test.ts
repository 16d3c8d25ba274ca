/** A recorded conversation whose answers are cut into chunks anywhere: the driver makes the same of them. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import type { FlightAnswer, FlightPart } from "../../../src/db/driver/driver.ts";
import { ConnectionLostError, ServerError } from "../../../src/db/errors.ts";
import { NeonDriver } from "../../../src/db/mod.ts";
import { recordConversation } from "../../support/recorded_conversation.ts";
import { ReplayedWebSocket } from "../../support/replayed_websocket.ts";
import { encodeMessage } from "../../support/wire_messages.ts";

const text = (text: string, ...values: unknown[]) => ({ text, values });
const portal = { name: "three", maxRows: 2 };

const READ = text(
  `select $1::int as one, $2::text as text, null as none, '' as empty, 'é €🐘' as wide, '{1,2}'::int[] as list,
    '{"a": 1}'::jsonb as "__proto__", true as yes, now() as now`,
  7,
  "it's",
);

const FLIGHTS: readonly (readonly FlightPart[])[] = [
  [text("begin"), READ],
  [READ, text("select n from generate_series(1, 3) n")],
  [READ, { text: "select 'static' as text, null", values: [], isStatic: true }],
  [{ ...text("select n from generate_series(1, 5) n"), portal }, { fetch: portal }, {
    close: portal,
  }],
  [text("do $$ begin raise notice 'noticed'; end $$"), text("")],
  [text("select"), text("select 1/0"), READ],
  [text("rollback"), text("insert into users (id) values ($1)", "not an id")],
  [text("copy (select 1) to stdout"), text("select 1 as one")],
  [text("deallocate all"), READ],
];

const { answers, flights: recorded } = await recordConversation(FLIGHTS);
const expected = recorded.map(comparable);

/** Errors without their stacks. */
function comparable({ results, error, status }: FlightAnswer): unknown {
  return {
    results: results.map(({ decodeError, ...result }) => ({ ...result, ...fieldsOf(decodeError) })),
    status,
    ...fieldsOf(error),
  };
}

function fieldsOf(error: Error | undefined): Record<string, unknown> {
  return error === undefined ? {} : { ...error, name: error.name, message: error.message };
}

/** What a driver makes of answers that come in chunks. */
async function replay(
  chunksOf: (answer: Uint8Array) => readonly Uint8Array[],
): Promise<unknown[]> {
  const connection = await connect(answers.map(chunksOf));
  const seen = [];
  for (const flight of FLIGHTS) seen.push(comparable(await connection.flight(flight)));
  await connection.close({ timeoutMs: 0 });
  return seen;
}

function connect(parts: readonly (readonly Uint8Array[])[]) {
  const driver = new NeonDriver({
    url: "postgresql://user:password@127.0.0.1/database",
    wsProxy: "ws://127.0.0.1/v1",
    pipelineConnect: true,
    prepare: "on",
    webSocketConstructor: class extends ReplayedWebSocket {
      constructor() {
        super(parts);
      }
    },
  });
  return driver.connect({ timeoutMs: 5_000 });
}

Deno.test("the recording has every kind of answer", () => {
  const [, second, third, fourth, fifth, sixth, seventh, eighth] = recorded;
  assertEquals(second!.results[1]!.rows, [{ n: 1 }, { n: 2 }, { n: 3 }]);
  const row = third!.results[0]!.rows[0]!;
  assertEquals([row["one"], row["none"], row["empty"], row["wide"]], [7, null, "", "é €🐘"]);
  assertEquals(Object.getOwnPropertyDescriptor(row, "__proto__")?.value, { a: 1 });
  assertEquals(third!.results[1]!.rows, [{ 0: "static", 1: null }]);
  assertEquals(fourth!.results.map(({ rows }) => rows.length), [2, 2, 0]);
  assertEquals(fifth!.results.map(({ command, notice }) => [command, notice?.code]), [
    ["DO", "00000"],
    ["", undefined],
  ]);
  assertEquals(sixth!.results.map(({ rows }) => rows), [[{}]]);
  assertEquals((sixth!.error as ServerError).sqlState, "22012");
  assertInstanceOf(seventh!.error, ServerError);
  assertInstanceOf(eighth!.error, TypeError);
});

Deno.test("answers that come whole are read as recorded", async () => {
  assertEquals(await replay((answer) => [answer]), expected);
});

Deno.test("answers that come byte by byte are read as recorded", async () => {
  assertEquals(
    await replay((answer) => Array.from(answer, (byte) => Uint8Array.of(byte))),
    expected,
  );
});

Deno.test("answers that are cut in two anywhere are read as recorded", async () => {
  const longest = Math.max(...answers.map(({ length }) => length));
  assert(longest > 500);
  for (let at = 1; at < longest; at++) {
    const seen = await replay((answer) => [answer.subarray(0, at), answer.subarray(at)]);
    assertEquals(seen, expected, `cut at ${at}`);
  }
});

Deno.test("answers in chunks of any size are read as recorded", async () => {
  for (let size = 2; size <= 64; size++) {
    const seen = await replay((answer) =>
      Array.from(
        { length: Math.ceil(answer.length / size) },
        (_, n) => answer.subarray(n * size, (n + 1) * size),
      )
    );
    assertEquals(seen, expected, `chunks of ${size}`);
  }
});

/** Answers to `select 1 as one` that no server gives. */
const RUN = [["1", ""], ["2", ""], [
  "T",
  "\0\x01one\0\0\0\0\0\0\0\0\0\0\x17\0\x04\0\0\0\0\0\0",
]] as const;
const ROW = ["D", "\0\x01\0\0\0\x011"] as const;
const DONE = ["C", "SELECT 1\0"] as const;
const READY = ["Z", "I"] as const;

for (
  const [what, messages] of [
    ["a row before its columns", [["1", ""], ["2", ""], ROW, DONE, READY]],
    ["a row of more columns", [...RUN, ["D", "\0\x02\0\0\0\x011\0\0\0\x012"], DONE, READY]],
    ["a row of fewer columns", [...RUN, ["D", "\0\0"], DONE, READY]],
    ["a value that is longer than its message", [...RUN, ["D", "\0\x01\0\0\0\x091"], DONE, READY]],
    ["a value of a negative size", [...RUN, ["D", "\0\x01\x7f\x7f\x7f\x7f1"], DONE, READY]],
    ["bytes behind the last value", [...RUN, ["D", "\0\x01\0\0\0\x0112"], DONE, READY]],
    ["columns that are cut", [["T", "\0\x02one\0\0\0\0\0\0\0\0\0\0\x17\0\x04\0\0\0\0\0\0"], READY]],
    ["columns twice", [...RUN, RUN[2], ROW, DONE, READY]],
    ["an end before the answer", [...RUN, ROW, READY]],
    ["more answers than statements", [...RUN, ROW, DONE, DONE, READY]],
    ["an answer behind an error", [...RUN, ["E", "SERROR\0Mfailed\0\0"], ROW, READY]],
    ["the closing of what was not closed", [["3", ""], ...RUN, ROW, DONE, READY]],
    ["an unknown status", [...RUN, ROW, DONE, ["Z", "?"]]],
    ["a status without a byte", [...RUN, ROW, DONE, ["Z", ""]]],
    [
      "a status without a byte in front of a message that begins with one",
      [...RUN, ROW, DONE, ["Z", ""], ["I", ""]],
    ],
    ["a status of two bytes", [...RUN, ROW, DONE, ["Z", "IT"]]],
    ["a message of a login", [["R", "\0\0\0\0"], ...RUN, ROW, DONE, READY]],
    ["a message of replication", [["W", "\0\0\0"], READY]],
  ] as [string, readonly (readonly [string, string])[]][]
) {
  Deno.test(`${what} ends the connection, and the flight with it`, async () => {
    const bytes = messages.flatMap(([type, body]) => [...encodeMessage(type, body)]);
    const connection = await connect([[answers[0]!], [Uint8Array.from(bytes)]]);
    await connection.flight(FLIGHTS[0]!);
    const error = await assertRejects(
      () => connection.flight([{ ...text("select 1 as one"), prepare: false }]),
      ConnectionLostError,
    );
    assert(/broke PostgreSQL's protocol|unknown status|failed/.test(error.message), error.message);
    assertEquals(connection.state, "closed");
    await connection.closed;
  });
}

for (const [what, message] of [["a row", ROW], ["a ReadyForQuery", READY]] as const) {
  Deno.test(`${what} that nobody asked for ends the connection`, async () => {
    const bytes = encodeMessage(message[0], message[1]);
    const connection = await connect([[answers[0]!, bytes]]);
    await connection.flight(FLIGHTS[0]!);
    assertInstanceOf(await connection.closed, ConnectionLostError);
  });
}

Deno.test("messages between answers, and notices for nobody, change nothing", async () => {
  const between = [
    encodeMessage("S", "TimeZone\0UTC\0"),
    encodeMessage("A", "\0\0\0\x01channel\0payload\0"),
    encodeMessage("N", "SNOTICE\0C00000\0Mhello\0\0"),
  ];
  const messages = [...RUN, ROW, DONE, READY].flatMap(([type, body]) => [
    ...between,
    encodeMessage(type, body),
  ]);
  const connection = await connect([[answers[0]!, ...between], [...messages, ...between]]);
  await connection.flight(FLIGHTS[0]!);
  const { results, error } = await connection.flight([
    { ...text("select 1 as one"), prepare: false },
  ]);
  assertEquals([results.map(({ rows }) => rows), error], [[[{ one: 1 }]], undefined]);
  assertEquals(connection.state, "idle");
  await connection.close({ timeoutMs: 0 });
});
