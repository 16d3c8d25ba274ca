import { assert, assertEquals, assertThrows } from "@std/assert";
import { MessageFraming } from "../../../src/db/neon/message_framing.ts";
import { readFields } from "../../../src/db/neon/server_fields.ts";

function message(type: string, body: string): number[] {
  const size = body.length + 4;
  return [
    type.charCodeAt(0),
    size >>> 24,
    size >>> 16 & 255,
    size >>> 8 & 255,
    size & 255,
    ...[...body].map((character) => character.charCodeAt(0)),
  ];
}

const MESSAGES = [
  ["R", "\0\0\0\0"],
  ["1", ""],
  ["E", "SERROR\0C57014\0Mcanceling\0\0"],
  ["N", "\0"],
  ["D", `\0\x01\0\0\x01\x2c${"x".repeat(300)}`],
  ["Z", "I"],
] as const;
const stream = Uint8Array.from(MESSAGES.flatMap(([type, body]) => message(type, body)));

/** The messages of a stream that arrives in these chunks, as `[type, body]`. */
function messagesOf(chunks: readonly Uint8Array[]): string[][] {
  const framing = new MessageFraming();
  const messages: string[][] = [];
  for (const chunk of chunks) {
    const used = framing.split(chunk, (type, bytes, start, end) => {
      const body = String.fromCharCode(...bytes.subarray(start, end));
      messages.push([String.fromCharCode(type), body]);
      if (type === 69 || type === 78) readFields(bytes, start, end);
      return true;
    });
    assertEquals(used, chunk.length);
  }
  return messages;
}

function chunksOf(bytes: Uint8Array, size: number): Uint8Array[] {
  const count = Math.ceil(bytes.length / size);
  return Array.from({ length: count }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
}

Deno.test("a stream gives the same messages, however it is cut into chunks", () => {
  const expected = MESSAGES.map(([type, body]) => [type, body]);
  for (let size = 1; size <= stream.length; size++) {
    assertEquals(messagesOf(chunksOf(stream, size)), expected, `chunks of ${size}`);
  }
  for (let at = 0; at <= stream.length; at++) {
    assertEquals(
      messagesOf([stream.subarray(0, at), stream.subarray(at)]),
      expected,
      `cut at ${at}`,
    );
  }
});

Deno.test("splitting can stop behind any message, and go on in the same chunk", () => {
  for (let size = 1; size <= stream.length; size++) {
    const framing = new MessageFraming();
    let types = "";
    for (const chunk of chunksOf(stream, size)) {
      for (let used = 0; used < chunk.length;) {
        const more = framing.split(chunk.subarray(used), (type) => {
          types += String.fromCharCode(type);
          return false;
        });
        assert(more > 0);
        used += more;
      }
    }
    assertEquals(types, "R1ENDZ");
  }
});

Deno.test("a message of many chunks is copied a bounded number of times", () => {
  const body = new Uint8Array(2 ** 26).fill(120);
  const header = Uint8Array.from([
    68,
    ...new Uint8Array(new Uint32Array([body.length + 4]).buffer).reverse(),
  ]);
  const framing = new MessageFraming();
  framing.split(header, () => true);
  let size = 0;
  const startMs = performance.now();
  for (let at = 0; at < body.length; at += 65_536) {
    framing.split(body.subarray(at, at + 65_536), (_, _bytes, start, end) => {
      size = end - start;
      return true;
    });
  }
  assertEquals(size, body.length);
  // Copying all that has come with each chunk would be 32 GiB.
  assert(performance.now() - startMs < 2_000);
});

Deno.test("the size that a message claims reserves no memory", () => {
  const before = Deno.memoryUsage().external;
  const framing = new MessageFraming();
  framing.split(Uint8Array.from([68, 63, 255, 255, 255, 1]), () => true);
  const reserved = Deno.memoryUsage().external - before;
  assert(reserved < 2 ** 20, `${reserved} bytes`);
});

for (
  const [what, bytes] of [
    ["a type that no server sends", message("!", "")],
    ["an answer of another protocol", [..."HTTP/1.1 400 Bad Request"].map((c) => c.charCodeAt(0))],
    ["a length below the length's own", [...message("Z", "I").slice(0, 4), 3, 73]],
    ["a length beyond all bounds", [90, 255, 255, 255, 255, 73]],
    ["an error whose fields do not end", message("E", "SERROR\0C57014\0")],
    ["an error whose last field does not end", message("E", "SERROR\0C57014")],
    ["an error that goes on after its end", message("E", "SERROR\0\0C57014\0\0")],
    ["an empty error", message("E", "")],
    ["an error whose end is in the next message", [
      ...message("E", "SERROR"),
      ...message("N", "\0"),
    ]],
  ] as const
) {
  Deno.test(`${what} is an error, however the stream is cut into chunks`, () => {
    for (let size = 1; size <= bytes.length; size++) {
      assertThrows(
        () => messagesOf(chunksOf(Uint8Array.from(bytes), size)),
        Error,
        "broke PostgreSQL's protocol",
      );
    }
  });
}
