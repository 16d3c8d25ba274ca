/**
 * The types of the messages that a server may send:
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
const IS_MESSAGE_TYPE = new Uint8Array(256);
for (const type of "RKSAZT123CDEGHINVWcdnstv") IS_MESSAGE_TYPE[type.charCodeAt(0)] = 1;

/** PostgreSQL's own limit for a value or message that it builds in memory. */
export const MESSAGE_BYTES_MAX = 2 ** 30;

const HEADER_BYTES = 5;

/** A buffer for cut messages is kept for the next one up to this size. */
const KEPT_BYTES_MAX = 65_536;

const NO_BYTES = new Uint8Array(0);

/**
 * Called with each whole message: its body is `bytes` from `start` to `end`. The bytes may change after the call.
 * Returning false stops behind this message.
 */
export type OnMessage = (type: number, bytes: Uint8Array, start: number, end: number) => boolean;

/**
 * Divides a server's byte stream into messages, however it was cut into chunks. Copies a message only if it was cut, and
 * each of its bytes a bounded number of times.
 */
export class MessageFraming {
  /** A message that was cut, as far as it has arrived. */
  #cut: Uint8Array = NO_BYTES;
  #cutBytes = 0;

  /**
   * Calls `onMessage` for each message that the chunk completes. Returns how many bytes of the chunk were used: all of
   * them, unless `onMessage` stopped. Throws an `Error` for bytes that are not PostgreSQL's protocol.
   */
  split(chunk: Uint8Array, onMessage: OnMessage): number {
    let at = 0;
    while (at < chunk.length) {
      if (this.#cutBytes > 0) {
        at += this.#fill(chunk, at);
        const end = this.#cutEnd();
        if (end === undefined) continue;
        const bytes = this.#cut;
        this.#cutBytes = 0;
        if (bytes.length > KEPT_BYTES_MAX) this.#cut = NO_BYTES;
        if (!onMessage(bytes[0]!, bytes, HEADER_BYTES, end)) return at;
        continue;
      }
      assertType(chunk[at]!);
      const left = chunk.length - at;
      const end = left < HEADER_BYTES ? Infinity : at + 1 + sizeAt(chunk, at);
      if (end > chunk.length) {
        at += this.#fill(chunk, at);
        continue;
      }
      const start = at + HEADER_BYTES;
      at = end;
      if (!onMessage(chunk[start - HEADER_BYTES]!, chunk, start, end)) return at;
    }
    return at;
  }

  /** Copies bytes to the cut message: first up to its header's end, then up to its own. Returns how many. */
  #fill(chunk: Uint8Array, at: number): number {
    const total = this.#cutBytes < HEADER_BYTES ? HEADER_BYTES : 1 + sizeAt(this.#cut, 0);
    const count = Math.min(total - this.#cutBytes, chunk.length - at);
    this.#reserve(this.#cutBytes + count, total);
    this.#cut.set(chunk.subarray(at, at + count), this.#cutBytes);
    this.#cutBytes += count;
    return count;
  }

  /** Grows by doubling, so that a message of many chunks is copied twice at most, and a false size reserves nothing. */
  #reserve(needed: number, total: number): void {
    if (needed <= this.#cut.length) return;
    const grown = new Uint8Array(Math.max(needed, Math.min(total, 2 * this.#cut.length), 256));
    grown.set(this.#cut.subarray(0, this.#cutBytes));
    this.#cut = grown;
  }

  /** Where the cut message ends; `undefined` while a part of it is missing. */
  #cutEnd(): number | undefined {
    if (this.#cutBytes < HEADER_BYTES) return undefined;
    const end = 1 + sizeAt(this.#cut, 0);
    return this.#cutBytes === end ? end : undefined;
  }
}

function assertType(type: number): void {
  if (IS_MESSAGE_TYPE[type] === 1) return;
  throw protocolError(`it sent the message type ${type}`);
}

/** The size of the message at `at`, without its type. */
function sizeAt(bytes: Uint8Array, at: number): number {
  const size = int32At(bytes, at + 1);
  if (size >= 4 && size <= MESSAGE_BYTES_MAX) return size;
  throw protocolError(`it sent a message of ${size >>> 0} bytes`);
}

/** A signed number of four bytes. */
export function int32At(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
}

/** The connection cannot go on: what follows in the stream has no certain meaning. */
export function protocolError(what: string): Error {
  return new Error(`the server broke PostgreSQL's protocol: ${what}`);
}
