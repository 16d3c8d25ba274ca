/**
 * The socket of the package's client. The package opens it and logs in. From the first ReadyForQuery on, the server's
 * messages go to the connection. Also reports the errors that the package loses, and closes the socket.
 */
import { completesWithin } from "../time/timeout.ts";
import { type Credentials, Login } from "./login.ts";
import { int32At, MessageFraming, type OnMessage } from "./message_framing.ts";
import type { NeonClient, WireStream } from "./neon_client.ts";
import { readFields } from "./server_fields.ts";
import { readShortText } from "./text_reader.ts";

/** How long the peer may take to answer the WebSocket's close frame. */
const CLOSE_TIMEOUT_MS = 1_000;

export interface NeonSocketOptions {
  readonly credentials: Credentials;
  readonly onError: (error: unknown) => void;
  /** Called with each ErrorResponse of the login and with every message after it. */
  readonly onMessage: OnMessage;
  /** Called with the status byte of the first ReadyForQuery. */
  readonly onLogin: (status: string) => void;
}

interface BufferClass {
  from(buffer: ArrayBufferLike, byteOffset: number, length: number): Uint8Array;
}

export class NeonSocket {
  readonly #client: NeonClient;
  readonly #options: NeonSocketOptions;
  readonly #login: Login;
  readonly #framing = new MessageFraming();
  /** The status byte of the first ReadyForQuery. */
  #status: string | undefined;
  #write: WireStream["write"];
  /** The messages of a pipelined login, until they are sent with the first flight. */
  #held: Uint8Array[] | undefined;
  /** The package's own `Buffer`, which it does not export. It reads nothing else, and what it writes is of that class. */
  #buffers: BufferClass | undefined;
  /** workerd throws when code of one request reads a signal that another request made. Its TCP sockets do not throw. */
  readonly #contextProbe = new AbortController();
  #isClosed = false;
  #terminateTimer: ReturnType<typeof setTimeout> | undefined;

  /** Must be called before the client connects. `holdsLogin`: the package's messages are kept for `send`. */
  constructor(client: NeonClient, options: NeonSocketOptions, { holdsLogin = false } = {}) {
    this.#client = client;
    this.#options = options;
    this.#login = new Login(client, options.credentials, options.onError);
    const { stream } = client.connection;
    this.#write = stream.write.bind(stream);
    if (holdsLogin) this.#held = [];
    this.#takeWrites(stream);
    this.#takeEvents();
  }

  /** Whether the socket belongs to another request. */
  isForeign(): boolean {
    try {
      void this.#contextProbe.signal.aborted;
      return false;
    } catch {
      return true;
    }
  }

  /**
   * Sends the bytes as one WebSocket message, behind the messages of a login that are held. With two messages, a relay
   * whose TCP side delays small segments (Nagle's algorithm) would hold the second one until the first is acknowledged.
   */
  send(parts: readonly Uint8Array[]): void {
    const all = this.#held === undefined ? parts : [...this.#held, ...parts];
    this.#held = undefined;
    if (all.length > 0) this.#write(all.length === 1 ? all[0]! : concat(all));
  }

  /** Sends the WebSocket's close frame. If the peer does not answer within a second, terminates the connection. */
  close(): void {
    if (this.#isClosed) return;
    try {
      this.#client.connection.stream.destroy();
    } catch {
      // workerd throws if the socket is already closed.
    }
    this.#terminateTimer ??= setTimeout(() => this.terminate(), CLOSE_TIMEOUT_MS);
  }

  /** Closes without waiting for the peer, if the WebSocket class has `terminate()`. */
  terminate(): void {
    const { stream } = this.#client.connection;
    if (stream.ws?.terminate !== undefined) stream.ws.terminate();
    else this.close();
  }

  /** The socket is closed: stops the timer. */
  noteClosed(): void {
    this.#isClosed = true;
    clearTimeout(this.#terminateTimer);
  }

  #takeWrites(stream: WireStream): void {
    stream.write = (bytes, ...callback) => {
      this.#buffers ??= bytes.constructor as unknown as BufferClass;
      // The stream closes in the callback of an empty write, which must therefore not be held.
      if (this.#held === undefined || bytes.length === 0) return this.#write(bytes, ...callback);
      this.#held.push(bytes);
      return true;
    };
  }

  /** The package reports some failures only as exceptions or events, which would end the process if not caught. */
  #takeEvents(): void {
    const client = this.#client;
    const { stream } = client.connection;
    const { onError } = this.#options;
    const emit = stream.emit.bind(stream);
    stream.emit = (event, ...args) => {
      try {
        if (event !== "data") return emit(event, ...args);
        this.#receive(args[0] as Uint8Array, (chunk) => emit("data", this.#asBuffer(chunk)));
        return true;
      } catch (error) {
        onError(error);
        return false;
      }
    };
    client.on("error", onError);
  }

  #asBuffer(bytes: Uint8Array): Uint8Array {
    const { buffer, byteOffset, byteLength } = bytes;
    return bytes.constructor === Uint8Array
      ? this.#buffers!.from(buffer, byteOffset, byteLength)
      : bytes;
  }

  /** One chunk may hold the end of the login and answers to flights. */
  #receive(chunk: Uint8Array, toPackage: (chunk: Uint8Array) => void): void {
    let used = 0;
    if (this.#status === undefined) {
      used = this.#framing.split(chunk, this.#readLogin);
      toPackage(chunk.subarray(0, used));
      // The package may have refused the login, such as for a wrong signature of the server.
      if (this.#status === undefined) return;
      this.#options.onLogin(this.#status);
    }
    if (used < chunk.length) this.#framing.split(chunk.subarray(used), this.#options.onMessage);
  }

  /** Checks what the package would wait or loop on for ever, and stops behind the first ReadyForQuery. */
  readonly #readLogin: OnMessage = (type, bytes, start, end) => {
    if (type === 0x5a) this.#status = readShortText(bytes, start, end);
    else if (type === 0x52) this.#login.read(int32At(bytes, start));
    else if (type === 0x45) this.#options.onMessage(type, bytes, start, end);
    else if (type === 0x4e) readFields(bytes, start, end);
    return type !== 0x5a;
  };
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/**
 * Sends a cancel request over a new socket: the server cancels the statement that the backend is running. Resolves when
 * the request was delivered, or after `timeoutMs`.
 *
 * The server answers by closing the socket:
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
 */
export async function sendCancelRequest(
  client: NeonClient,
  { processID, secretKey, timeoutMs }: { processID: number; secretKey: number; timeoutMs: number },
): Promise<void> {
  const { connection: wire, port, host } = client;
  const { promise, resolve } = Promise.withResolvers<void>();
  // The answer has no content: the client must not parse data from this socket.
  const emit = wire.stream.emit.bind(wire.stream);
  wire.stream.emit = (event, ...args) => event === "data" ? false : emit(event, ...args);
  wire.on("error", () => resolve());
  wire.on("end", resolve);
  wire.on("connect", () => wire.cancel(processID, secretKey));
  wire.connect(port, host);
  await completesWithin(promise, timeoutMs);
  try {
    wire.stream.destroy();
    wire.stream.ws?.terminate?.();
  } catch {
    // workerd throws if the socket is already closed.
  }
}
