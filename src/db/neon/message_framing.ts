/**
 * The types of the messages that a server may send:
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
const MESSAGE_TYPES: ReadonlySet<number> = new Set(
  [..."RKSAZT123CDEGHINVWcdnstv"].map((type) => type.charCodeAt(0)),
);

/** PostgreSQL's own limit for a value or message that it builds in memory. */
const MESSAGE_BYTES_MAX = 2 ** 30;

const HEADER_BYTES = 5;

/** `E` and `N`: if a field has no zero byte at its end, the package searches for one beyond the end of the message. */
const FIELD_TYPES: ReadonlySet<number> = new Set(["E".charCodeAt(0), "N".charCodeAt(0)]);

/**
 * Checks the messages in a server's byte stream before the package parses them. The chunks may be cut anywhere. Without
 * the check, bytes that are not PostgreSQL's protocol make the package wait for a message that never ends, or loop for
 * ever.
 */
export class MessageFraming {
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerBytes = 0;
  /** Bytes of the current message's body that have not arrived. */
  #missing = 0;
  /** The body of an `E` or `N` message as far as it has arrived; `undefined` for other types. */
  #fields: number[] | undefined;

  /** Throws an `Error` at the first byte that breaks the protocol. */
  check(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      at += this.#missing === 0 ? this.#readHeader(chunk, at) : this.#readBody(chunk, at);
    }
  }

  #readHeader(chunk: Uint8Array, at: number): number {
    if (this.#headerBytes === 0 && !MESSAGE_TYPES.has(chunk[at]!)) {
      throw new Error(
        `the server broke PostgreSQL's protocol: it sent the message type ${chunk[at]}`,
      );
    }
    const count = Math.min(HEADER_BYTES - this.#headerBytes, chunk.length - at);
    for (let index = 0; index < count; index++) {
      this.#header[this.#headerBytes++] = chunk[at + index]!;
    }
    if (this.#headerBytes < HEADER_BYTES) return count;
    this.#headerBytes = 0;
    const size = this.#headerView.getUint32(1);
    if (size < 4 || size > MESSAGE_BYTES_MAX) {
      throw new Error(`the server broke PostgreSQL's protocol: it sent a message of ${size} bytes`);
    }
    this.#missing = size - 4;
    this.#fields = FIELD_TYPES.has(this.#header[0]!) ? [] : undefined;
    if (this.#missing === 0) this.#endMessage();
    return count;
  }

  #readBody(chunk: Uint8Array, at: number): number {
    const size = Math.min(this.#missing, chunk.length - at);
    if (this.#fields !== undefined) {
      for (const byte of chunk.subarray(at, at + size)) this.#fields.push(byte);
    }
    this.#missing -= size;
    if (this.#missing === 0) this.#endMessage();
    return size;
  }

  #endMessage(): void {
    const fields = this.#fields;
    this.#fields = undefined;
    if (fields === undefined) return;
    // A field is one type byte, a text and a zero byte. A zero byte in place of a type ends the list.
    let at = 0;
    while (at < fields.length && fields[at] !== 0) {
      const end = fields.indexOf(0, at + 1);
      at = end === -1 ? fields.length : end + 1;
    }
    if (at !== fields.length - 1) {
      throw new Error(
        "the server broke PostgreSQL's protocol: it sent an error message without an end",
      );
    }
  }
}
