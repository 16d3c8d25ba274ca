/** Finds the connections whose readers take nothing. */
import type { Socket } from "node:net";

interface Waiting {
  /** Of the connection, until now: it grows with each chunk, of which the next may be as long as the last. */
  readonly written: number;
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
  cut(sockets: Iterable<Socket>, nowMs: number): void {
    const waiting = new Map<Socket, Waiting>();
    for (const socket of sockets) {
      // A chunk counts until the whole of it has been taken. Without one it is the source that is waited for.
      const bytes = socket.writableLength;
      if (bytes === 0) continue;
      const written = socket.bytesWritten;
      const before = this.#waiting.get(socket);
      const isSame = before?.bytes === bytes && before.written === written;
      const sinceMs = isSame ? before.sinceMs : nowMs;
      if (nowMs - sinceMs >= this.#timeoutMs) socket.destroy();
      else waiting.set(socket, { written, bytes, sinceMs });
    }
    this.#waiting = waiting;
  }
}
