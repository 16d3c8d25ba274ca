/** Finds the connections whose readers take nothing. */
import type { Socket } from "node:net";

/** A connection, and how many exchanges it has begun. */
export interface Written {
  readonly socket: Socket;
  readonly exchanges: number;
}

interface Waiting {
  /** Of the next response the same number may wait, which is no standstill. */
  readonly exchanges: number;
  readonly bytes: number;
  readonly sinceMs: number;
}

/** Looks at all connections at times, so that a response that is read in time costs nothing. */
export class WriteWatch {
  readonly #timeoutMs: number;
  /** What waited for its reader at the last look. */
  #waiting = new Map<Socket, Waiting>();

  constructor({ timeoutMs }: { timeoutMs: number }) {
    this.#timeoutMs = timeoutMs;
  }

  /** Destroys the connections whose readers have taken nothing for as long as the limit. */
  cut(connections: Iterable<Written>, nowMs: number): void {
    const waiting = new Map<Socket, Waiting>();
    for (const { socket, exchanges } of connections) {
      // A chunk counts until the whole of it has been taken. Without one it is the source that is waited for.
      const bytes = socket.writableLength;
      if (bytes === 0) continue;
      const before = this.#waiting.get(socket);
      const isSame = before?.exchanges === exchanges && before.bytes === bytes;
      const sinceMs = isSame ? before.sinceMs : nowMs;
      if (nowMs - sinceMs >= this.#timeoutMs) socket.destroy();
      else waiting.set(socket, { exchanges, bytes, sinceMs });
    }
    this.#waiting = waiting;
  }
}
