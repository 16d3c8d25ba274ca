import { assertEquals } from "@std/assert";
import { ByteWriter } from "../../../src/db/neon/byte_writer.ts";

/** Around the sizes at which a buffer is full, grows, and is given away. */
const SIZES = [0, 1, 250, 1_023, 1_024, 5_000, 16_383, 16_384, 16_385, 40_000, 70_000, 200_000];

Deno.test("what was taken stays as it was, whatever is written after it", () => {
  const writer = new ByteWriter();
  const taken: { bytes: Uint8Array; expected: string }[] = [];
  for (let turn = 0; turn < 300; turn++) {
    const text = String.fromCharCode(97 + turn % 26).repeat(SIZES[turn * 7 % SIZES.length]!);
    const at = writer.begin("Q");
    writer.cstring(text);
    writer.value(`ä${turn}`);
    writer.end(at);
    const length = writer.length;
    writer.int32(turn);
    assertEquals(writer.cutFrom(length), new Uint8Array([0, 0, turn >> 8, turn & 255]));
    if (turn % 11 === 0) {
      writer.clear();
      assertEquals(writer.length, 0);
      continue;
    }
    const value = new TextEncoder().encode(`ä${turn}`).length;
    const size = 4 + text.length + 1 + 4 + value;
    const number = (count: number) =>
      String.fromCharCode(count >>> 24, count >>> 16 & 255, count >>> 8 & 255, count & 255);
    const expected = `Q${number(size)}${text}\0${number(value)}\xc3\xa4${turn}`;
    taken.push({ bytes: writer.take(), expected });
  }
  for (const { bytes, expected } of taken) {
    const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    assertEquals(text === expected, true);
  }
});
