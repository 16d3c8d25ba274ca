/** The socket beneath the package's client: what it fails to report, and how it is closed. */
import { completesWithin } from "../time/timeout.ts";
import { MessageFraming } from "./message_framing.ts";
import type { NeonClient } from "./neon_client.ts";

/** How long a peer may take to answer the WebSocket's close. */
const GOODBYE_TIMEOUT_MS = 1_000;

export class NeonSocket {
  readonly #client: NeonClient;
  #hasEnded = false;
  #terminateTimer: ReturnType<typeof setTimeout> | undefined;

  /** Must be made before the client connects. */
  constructor(client: NeonClient, { onError }: { onError: (error: unknown) => void }) {
    this.#client = client;
    this.#catchStrayErrors(onError);
  }

  /** Whether the socket belongs to another request: workerd then throws for every access to it. */
  isForeign(): boolean {
    try {
      void this.#client.connection.stream.ws?.readyState;
      return false;
    } catch {
      return true;
    }
  }

  /** Says goodbye. A peer that does not answer is cut off after a second. */
  shut(): void {
    if (this.#hasEnded) return;
    try {
      this.#client.connection.stream.destroy();
    } catch {
      // workerd throws for a socket that is gone already.
    }
    this.#terminateTimer ??= setTimeout(() => this.terminate(), GOODBYE_TIMEOUT_MS);
  }

  /** Closes without waiting for the peer, where the WebSocket can do that. */
  terminate(): void {
    const { stream } = this.#client.connection;
    if (stream.ws?.terminate !== undefined) stream.ws.terminate();
    else this.shut();
  }

  noteEnd(): void {
    this.#hasEnded = true;
    clearTimeout(this.#terminateTimer);
  }

  /** The package reports some failures only as exceptions or events that end the process if they are not caught. */
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
 * Asks the server, over a socket of its own, to stop what a backend runs. Resolves when the request was delivered, or
 * after `timeoutMs`.
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
  // The answer has no content, so that the client parses nothing of it.
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
    // workerd throws for a socket that is gone already.
  }
}
