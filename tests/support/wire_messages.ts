/**
 * Splits the bytes between a client and PostgreSQL into protocol messages, however they were divided into chunks.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
import type { Direction } from "../../src/library/testing/relay/relay_link.ts";

const TO_SERVER = {
  B: "Bind",
  C: "Close",
  D: "Describe",
  E: "Execute",
  F: "FunctionCall",
  H: "Flush",
  P: "Parse",
  Q: "Query",
  S: "Sync",
  X: "Terminate",
  c: "CopyDone",
  d: "CopyData",
  f: "CopyFail",
  p: "Password",
} as const;

const TO_CLIENT = {
  1: "ParseComplete",
  2: "BindComplete",
  3: "CloseComplete",
  A: "NotificationResponse",
  C: "CommandComplete",
  D: "DataRow",
  E: "ErrorResponse",
  G: "CopyInResponse",
  H: "CopyOutResponse",
  I: "EmptyQueryResponse",
  K: "BackendKeyData",
  N: "NoticeResponse",
  R: "Authentication",
  S: "ParameterStatus",
  T: "RowDescription",
  V: "FunctionCallResponse",
  W: "CopyBothResponse",
  Z: "ReadyForQuery",
  c: "CopyDone",
  d: "CopyData",
  n: "NoData",
  s: "PortalSuspended",
  t: "ParameterDescription",
  v: "NegotiateProtocolVersion",
} as const;

/** Codes of a first message, which has no type byte. Any other code is a protocol version: a startup. */
const REQUEST_CODES: Readonly<Record<number, MessageKind>> = {
  80877102: "CancelRequest",
  80877103: "SSLRequest",
  80877104: "GSSENCRequest",
};

const AUTHENTICATIONS: Readonly<Record<number, string>> = {
  0: "Ok",
  3: "CleartextPassword",
  5: "MD5Password",
  10: "SASL",
  11: "SASLContinue",
  12: "SASLFinal",
};

/** The protocol's own names. `Unknown` stands for bytes that are encrypted, or do not follow the protocol. */
export type MessageKind =
  | typeof TO_SERVER[keyof typeof TO_SERVER]
  | typeof TO_CLIENT[keyof typeof TO_CLIENT]
  | "Startup"
  | "CancelRequest"
  | "SSLRequest"
  | "GSSENCRequest"
  | "SASLInitialResponse"
  | "SASLResponse"
  | "EncryptionAnswer"
  | "Unknown";

export interface WireMessage {
  readonly direction: Direction;
  readonly kind: MessageKind;
  /** The whole message, with its type and length. */
  readonly bytes: Uint8Array;
  /**
   * Its content: a statement (Parse, Query), parameters (Startup), a command tag (CommandComplete),
   * `severity SQLSTATE message` (ErrorResponse, NoticeResponse), a status byte (ReadyForQuery), a method
   * (Authentication), `name=value` (ParameterStatus). `""` for the others.
   */
  readonly text: string;
}

/** The same as the relay's limit. A longer length is not taken for a message. */
const MESSAGE_BYTES_MAX = 256 * 1024 * 1024;

const HEADER_BYTES = 5;

/** Splits what passes a relay, each connection apart. Its parameters are those of `RelayObserver.message`. */
export function connectionSplitter(): (
  id: number,
  direction: Direction,
  bytes: Uint8Array,
) => WireMessage[] {
  const splitters = new Map<number, MessageSplitter>();
  return (id, direction, bytes) => {
    const splitter = splitters.get(id) ?? new MessageSplitter();
    splitters.set(id, splitter);
    return splitter.split(direction, bytes);
  };
}

/** Splits both directions of one connection together: the kind of some messages depends on the other direction. */
export class MessageSplitter {
  readonly #buffers = { toServer: new ByteQueue(), toClient: new ByteQueue() };
  /** `first` before the startup, `plain` after it, `unknown` once messages cannot be recognized any more. */
  #phase: "first" | "plain" | "unknown" = "first";
  #answersEncryption = false;
  #authentication = "";

  /** Takes the next bytes, and returns the messages that they complete. */
  split(direction: Direction, bytes: Uint8Array): WireMessage[] {
    const buffer = this.#buffers[direction];
    buffer.push(bytes);
    const messages: WireMessage[] = [];
    for (let message; (message = this.#next(direction, buffer)) !== undefined;) {
      messages.push(message);
    }
    return messages;
  }

  /** The bytes of an incomplete last message. */
  rest(direction: Direction): Uint8Array {
    const buffer = this.#buffers[direction];
    return buffer.take(buffer.size);
  }

  #next(direction: Direction, buffer: ByteQueue): WireMessage | undefined {
    if (buffer.size === 0) return;
    if (this.#phase === "unknown") return this.#unknown(direction, buffer);
    if (direction === "toClient") {
      if (!this.#answersEncryption) return this.#typed(direction, buffer);
      this.#answersEncryption = false;
      const bytes = buffer.take(1);
      const text = String.fromCharCode(bytes[0]!);
      if (text !== "N") this.#phase = "unknown";
      return { direction, kind: "EncryptionAnswer", bytes, text };
    }
    return this.#phase === "first" ? this.#first(buffer) : this.#typed(direction, buffer);
  }

  #first(buffer: ByteQueue): WireMessage | undefined {
    const header = buffer.peek(8);
    if (header === undefined) return;
    const view = viewOf(header);
    const size = view.getInt32(0);
    if (size < 8 || size > MESSAGE_BYTES_MAX) return this.#unknown("toServer", buffer);
    if (buffer.size < size) return buffer.await(size);
    const bytes = buffer.take(size);
    const kind = REQUEST_CODES[view.getInt32(4)] ?? "Startup";
    this.#answersEncryption = kind === "SSLRequest" || kind === "GSSENCRequest";
    if (!this.#answersEncryption) this.#phase = "plain";
    const text = kind === "Startup" ? strings(bytes.subarray(8)).join(" ").trim() : "";
    return { direction: "toServer", kind, bytes, text };
  }

  #typed(direction: Direction, buffer: ByteQueue): WireMessage | undefined {
    const header = buffer.peek(HEADER_BYTES);
    if (header === undefined) return;
    const size = 1 + viewOf(header).getInt32(1);
    const type = String.fromCharCode(header[0]!);
    const kinds: Record<string, MessageKind> = direction === "toServer" ? TO_SERVER : TO_CLIENT;
    const kind = kinds[type];
    if (kind === undefined || size < HEADER_BYTES || size > MESSAGE_BYTES_MAX) {
      return this.#unknown(direction, buffer);
    }
    if (buffer.size < size) return buffer.await(size);
    const bytes = buffer.take(size);
    const text = textOf(kind, bytes.subarray(HEADER_BYTES));
    if (kind === "Authentication") this.#authentication = text;
    return { direction, kind: kind === "Password" ? this.#secret() : kind, bytes, text };
  }

  /** A password and both SASL responses have the same type byte. A pipelined password comes before any request. */
  #secret(): MessageKind {
    if (this.#authentication === "SASL") return "SASLInitialResponse";
    return this.#authentication === "SASLContinue" ? "SASLResponse" : "Password";
  }

  #unknown(direction: Direction, buffer: ByteQueue): WireMessage {
    this.#phase = "unknown";
    return { direction, kind: "Unknown", bytes: buffer.take(buffer.size), text: "" };
  }
}

/** Joins chunks only when a whole message is there, so that the cost of a long message is linear in its length. */
class ByteQueue {
  #chunks: Uint8Array[] = [];
  #awaited = 0;
  size = 0;

  push(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#chunks.push(bytes);
    this.size += bytes.length;
  }

  /** `peek` gives nothing until this many bytes are there. */
  await(size: number): undefined {
    this.#awaited = size;
  }

  peek(size: number): Uint8Array | undefined {
    if (this.size < Math.max(size, this.#awaited)) return;
    return this.#joined().subarray(0, size);
  }

  take(size: number): Uint8Array {
    const bytes = this.#joined();
    this.#awaited = 0;
    this.#chunks = size < bytes.length ? [bytes.subarray(size)] : [];
    this.size -= size;
    return bytes.subarray(0, size);
  }

  #joined(): Uint8Array {
    if (this.#chunks.length !== 1) this.#chunks = [concat(this.#chunks)];
    return this.#chunks[0]!;
  }
}

function textOf(kind: MessageKind, body: Uint8Array): string {
  switch (kind) {
    case "Parse":
      return strings(body)[1] ?? "";
    case "Query":
    case "CommandComplete":
      return strings(body)[0] ?? "";
    case "ReadyForQuery":
      return String.fromCharCode(body[0] ?? 0);
    case "ParameterStatus":
      return strings(body).slice(0, 2).join("=");
    case "Authentication":
      return body.length < 4 ? "" : AUTHENTICATIONS[viewOf(body).getInt32(0)] ?? "other";
    case "ErrorResponse":
    case "NoticeResponse": {
      const fields = new Map(strings(body).map((field) => [field[0], field.slice(1)]));
      return ["V", "C", "M"].map((field) => fields.get(field) ?? "").join(" ");
    }
    default:
      return "";
  }
}

/** The NUL-terminated strings of a body. */
export function strings(body: Uint8Array): string[] {
  return new TextDecoder().decode(body).split("\0").slice(0, -1);
}

/** A message as it goes over the wire. */
export function encodeMessage(type: string, body: string): Uint8Array {
  const encoded = new TextEncoder().encode(body);
  const bytes = new Uint8Array(HEADER_BYTES + encoded.length);
  bytes[0] = type.charCodeAt(0);
  viewOf(bytes).setInt32(1, bytes.length - 1);
  bytes.set(encoded, HEADER_BYTES);
  return bytes;
}

export function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
