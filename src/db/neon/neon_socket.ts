/** The socket of the package's client: reports the errors that the package loses, and closes the socket. */
import { completesWithin } from "../time/timeout.ts";
import { MessageFraming } from "./message_framing.ts";
import type { NeonClient } from "./neon_client.ts";

/** How long the peer may take to answer the WebSocket's close frame. */
const CLOSE_TIMEOUT_MS = 1_000;

export class NeonSocket {
  readonly #client: NeonClient;
  #isClosed = false;
  #terminateTimer: ReturnType<typeof setTimeout> | undefined;

  /** Must be called before the client connects. */
  constructor(client: NeonClient, { onError }: { onError: (error: unknown) => void }) {
    this.#client = client;
    this.#catchStrayErrors(onError);
  }

  /** Whether the socket belongs to another request. workerd throws for every access to such a socket. */
  isForeign(): boolean {
    try {
      void this.#client.connection.stream.ws?.readyState;
      return false;
    } catch {
      return true;
    }
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

  /** The package reports some failures only as exceptions or events, which would end the process if not caught. */
  #catchStrayErrors(onError: (error: unknown) => void): void {
    const client = this.#client;
    const { stream } = client.connection;
    const emit = stream.emit.bind(stream);
    const framing = new MessageFraming();
    stream.emit = (event, ...args) => {
      try {
        if (event === "data") framing.check(args[0] as Uint8Array);
        return emit(event, ...args);
      } catch (error) {
        onError(error);
        return false;
      }
    };
    const continueScram = client._handleAuthSASLContinue.bind(client);
    client._handleAuthSASLContinue = (message) => continueScram(message).catch(onError);
    client.on("error", onError);
  }
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
