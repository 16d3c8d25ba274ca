/** A buffer to which messages are written. */
import { MESSAGE_BYTES_MAX } from "./message_framing.ts";

const encoder = new TextEncoder();

/** What is taken are parts of buffers of this size: a buffer of its own for each flight would cost more than the copy. */
const BUFFER_BYTES = 16_384;

/** A buffer with less room than this is not written to any more, so that most flights need not move to the next one. */
const ROOM_MIN = 1_024;

/** A shorter text is written character by character: that is faster than a call of the encoder. */
const SHORT_TEXT = 64;

/** A longer text is encoded on its own: room for its worst case would be three times its size. */
const LONG_TEXT = 16_384;

export class ByteWriter {
  #bytes = new Uint8Array(BUFFER_BYTES);
  /** Where the current flight begins. What is in front of it was taken, and is not written to again. */
  #start = 0;
  #end = 0;

  /** How many bytes were written. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Drops what was written. */
  clear(): void {
    this.#end = this.#start;
    if (this.#bytes.length > BUFFER_BYTES) this.#renew();
  }

  /** Returns everything that was written, and starts anew. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(this.#start, this.#end);
    this.#start = this.#end;
    if (this.#bytes.length - this.#end < ROOM_MIN || this.#bytes.length > BUFFER_BYTES) {
      this.#renew();
    }
    return taken;
  }

  /** Returns what was written since `start`, and takes it back. */
  cutFrom(start: number): Uint8Array {
    const from = this.#start + start;
    const cut = this.#bytes.slice(from, this.#end);
    this.#end = from;
    return cut;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#end++] = value;
  }

  int16(value: number): void {
    this.#reserve(2);
    this.#bytes[this.#end++] = value >>> 8;
    this.#bytes[this.#end++] = value;
  }

  int32(value: number): void {
    this.#reserve(4);
    this.#end += 4;
    this.#setInt32(this.length - 4, value);
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** A text with a zero byte behind it. */
  cstring(text: string): void {
    this.#text(text);
    this.byte(0);
  }

  /** A text behind its length in bytes; null as -1. */
  value(text: string | null): void {
    if (text === null) return this.int32(-1);
    const at = this.length;
    this.int32(0);
    this.#text(text);
    this.#setInt32(at, this.length - at - 4);
  }

  /** Begins a message. Returns its place, for `end`. */
  begin(type: string): number {
    this.byte(type.charCodeAt(0));
    this.int32(0);
    return this.length - 4;
  }

  /** Ends the message that began at `at`. */
  end(at: number): void {
    this.#setInt32(at, this.length - at);
  }

  #text(text: string): void {
    if (text.length > LONG_TEXT) return this.bytes(encoder.encode(text));
    this.#reserve(3 * text.length);
    const from = text.length > SHORT_TEXT ? 0 : this.#ascii(text);
    if (from === text.length) return;
    const { written } = encoder.encodeInto(text.slice(from), this.#bytes.subarray(this.#end));
    this.#end += written;
  }

  /** Writes the characters up to the first one that needs several bytes. Returns how many. */
  #ascii(text: string): number {
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code > 127) return index;
      this.#bytes[this.#end++] = code;
    }
    return text.length;
  }

  #setInt32(at: number, value: number): void {
    const from = this.#start + at;
    this.#bytes[from] = value >>> 24;
    this.#bytes[from + 1] = value >>> 16;
    this.#bytes[from + 2] = value >>> 8;
    this.#bytes[from + 3] = value;
  }

  #reserve(count: number): void {
    if (this.#end + count <= this.#bytes.length) return;
    const { length } = this;
    const needed = length + count;
    if (needed > MESSAGE_BYTES_MAX) {
      throw new TypeError(
        "Cannot send the statements as they are longer than the server takes: " +
          `current length is over ${MESSAGE_BYTES_MAX} bytes; send them one by one, or in parts`,
      );
    }
    const written = this.#bytes.subarray(this.#start, this.#end);
    this.#renew(Math.min(Math.max(needed, 2 * length, BUFFER_BYTES), MESSAGE_BYTES_MAX));
    this.#bytes.set(written);
    this.#end = length;
  }

  #renew(size = BUFFER_BYTES): void {
    this.#bytes = new Uint8Array(size);
    this.#start = this.#end = 0;
  }
}
