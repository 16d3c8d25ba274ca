import { assertThrows } from "@std/assert";
import { MessageFraming } from "../../../src/db/neon/message_framing.ts";

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

const error = message("E", "SERROR\0C57014\0Mcanceling\0\0");
const stream = Uint8Array.from([
  ...message("R", "\0\0\0\0"),
  ...message("1", ""),
  ...error,
  ...message("N", "\0"),
  ...message("Z", "I"),
]);

Deno.test("a correct stream passes, however it is cut into chunks", () => {
  for (let size = 1; size <= stream.length; size++) {
    const framing = new MessageFraming();
    for (let at = 0; at < stream.length; at += size) framing.check(stream.subarray(at, at + size));
  }
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
  ] as const
) {
  Deno.test(`${what} is an error, however the stream is cut into chunks`, () => {
    for (let size = 1; size <= bytes.length; size++) {
      const framing = new MessageFraming();
      assertThrows(
        () => {
          for (let at = 0; at < bytes.length; at += size) {
            framing.check(Uint8Array.from(bytes.slice(at, at + size)));
          }
        },
        Error,
        "broke PostgreSQL's protocol",
      );
    }
  });
}
