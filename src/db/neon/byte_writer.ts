/** A buffer to which messages are written. */
import { MESSAGE_BYTES_MAX } from "./message_framing.ts";

const encoder = new TextEncoder();

/** A buffer that has grown beyond this is given away and not kept. */
const KEPT_BYTES_MAX = 65_536;

/** A shorter text is written character by character: that is faster than a call of the encoder. */
const SHORT_TEXT = 64;

/** A longer text is encoded on its own: room for its worst case would be three times its size. */
const LONG_TEXT = 16_384;

export class ByteWriter {
  #bytes = new Uint8Array(4_096);
  #length = 0;

  /** How many bytes were written. */
  get length(): number {
    return this.#length;
  }

  /** Drops what was written. */
  clear(): void {
    this.#length = 0;
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#bytes = new Uint8Array(4_096);
  }

  /** Returns everything that was written, and starts anew. */
  take(): Uint8Array {
    const isLong = this.#length > KEPT_BYTES_MAX;
    const taken = isLong
      ? this.#bytes.subarray(0, this.#length)
      : this.#bytes.slice(0, this.#length);
    if (isLong) this.#bytes = new Uint8Array(4_096);
    this.#length = 0;
    return taken;
  }

  /** Returns what was written since `start`, and takes it back. */
  cutFrom(start: number): Uint8Array {
    const cut = this.#bytes.slice(start, this.#length);
    this.#length = start;
    return cut;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  int16(value: number): void {
    this.#reserve(2);
    this.#bytes[this.#length++] = value >>> 8;
    this.#bytes[this.#length++] = value;
  }

  int32(value: number): void {
    this.#reserve(4);
    this.#setInt32(this.#length, value);
    this.#length += 4;
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** A text with a zero byte behind it. */
  cstring(text: string): void {
    this.#text(text);
    this.byte(0);
  }

  /** A text behind its length in bytes; null as -1. */
  value(text: string | null): void {
    if (text === null) return this.int32(-1);
    const at = this.#length;
    this.int32(0);
    this.#text(text);
    this.#setInt32(at, this.#length - at - 4);
  }

  /** Begins a message. Returns its place, for `end`. */
  begin(type: string): number {
    this.byte(type.charCodeAt(0));
    this.int32(0);
    return this.#length - 4;
  }

  /** Ends the message that began at `at`. */
  end(at: number): void {
    this.#setInt32(at, this.#length - at);
  }

  #text(text: string): void {
    if (text.length > LONG_TEXT) return this.bytes(encoder.encode(text));
    this.#reserve(3 * text.length);
    const from = text.length > SHORT_TEXT ? 0 : this.#ascii(text);
    if (from === text.length) return;
    const { written } = encoder.encodeInto(text.slice(from), this.#bytes.subarray(this.#length));
    this.#length += written;
  }

  /** Writes the characters up to the first one that needs several bytes. Returns how many. */
  #ascii(text: string): number {
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code > 127) return index;
      this.#bytes[this.#length++] = code;
    }
    return text.length;
  }

  #setInt32(at: number, value: number): void {
    this.#bytes[at] = value >>> 24;
    this.#bytes[at + 1] = value >>> 16;
    this.#bytes[at + 2] = value >>> 8;
    this.#bytes[at + 3] = value;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    if (needed > MESSAGE_BYTES_MAX) {
      throw new TypeError(
        "Cannot send the statements as they are longer than the server takes: " +
          `current length is over ${MESSAGE_BYTES_MAX} bytes; send them one by one, or in parts`,
      );
    }
    const grown = new Uint8Array(
      Math.min(Math.max(needed, 2 * this.#bytes.length), MESSAGE_BYTES_MAX),
    );
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
