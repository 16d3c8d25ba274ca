/**
 * One connection of the fault relay: what has passed, and what can be done to it as a whole. It carries the bytes
 * itself, since the relay's own way ends a server soon after its client, and here a message may be held for longer.
 */
import type { Socket } from "node:net";
// @ts-types="npm:@types/ws@8.18.2"
import type { WebSocket } from "ws";
import {
  chunksOf,
  close,
  type Direction,
  dismiss,
  messagesOf,
  send,
  writeAll,
} from "../../src/dev/relay/relay_link.ts";
import { completesWithin } from "../../src/db/time/timeout.ts";
import { encodeMessage, type MessageKind, type WireMessage } from "./wire_messages.ts";

/** How long a server may take to close after its client has gone, before it is cut. */
const LINGER_MS = 1_000;

const NOTHING = new Uint8Array(0);

/** What came from one side, before any fault. */
export interface Traffic {
  /** WebSocket messages of the client, or reads from the server. */
  chunks: number;
  bytes: number;
  readonly messages: Map<MessageKind, number>;
}

interface Replacement {
  readonly text: RegExp;
  readonly bytes: Uint8Array;
}

/** Changes what passes in one direction. */
export type Passage = (
  source: AsyncIterable<Uint8Array>,
  direction: Direction,
) => AsyncIterable<Uint8Array>;

/** Thrown within a passage whose connection has ended. */
export class Ended extends Error {}

interface Ends {
  readonly client: WebSocket;
  readonly server: Deno.TcpConn;
}

export class FaultConnection {
  /** Numbered from 1, in the order in which they asked to be dialled. */
  readonly id: number;
  readonly traffic: Readonly<Record<Direction, Traffic>> = {
    toServer: { chunks: 0, bytes: 0, messages: new Map() },
    toClient: { chunks: 0, bytes: 0, messages: new Map() },
  };
  /** Resolves when both sides are shut, or once it was refused. */
  readonly closed: Promise<void>;
  /** On the clock of `performance.now()`. */
  readonly askedMs = performance.now();
  openedMs: number | undefined;
  closedMs: number | undefined;
  readonly #socket: Socket;
  readonly #closed = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<never>();
  readonly #halfClosed = new Set<Direction>();
  #ends: Ends | undefined;
  #isOver = false;
  #frozen: PromiseWithResolvers<void> | undefined;
  #lastWords: Uint8Array | undefined;
  readonly #replacements: Replacement[] = [];
  #skips = false;

  constructor(id: number, socket: Socket) {
    this.id = id;
    this.#socket = socket;
    this.closed = this.#closed.promise;
    this.#ended.promise.catch(() => {});
  }

  get state(): "dialling" | "open" | "closed" {
    if (this.closedMs !== undefined) return "closed";
    return this.openedMs === undefined ? "dialling" : "open";
  }

  /** Messages of a kind that came so far, from whichever side sends them. */
  count(kind: MessageKind): number {
    const { toServer, toClient } = this.traffic;
    return (toServer.messages.get(kind) ?? 0) + (toClient.messages.get(kind) ?? 0);
  }

  /** Ends both sides, the client's without a close frame. What was passed to the server before still reaches it. */
  cut({ reset = false } = {}): void {
    this.#end();
    if (reset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
    // Closing on unread answers would reset, and take back, what the server has not read yet.
    this.#ends?.server.closeWrite().catch(() => {});
  }

  /** From here on nothing passes, and neither side hears of it, not even that the other has left. */
  freeze(): void {
    this.#frozen ??= Promise.withResolvers();
    this.#ends?.client.pause();
  }

  thaw(): void {
    this.#frozen?.resolve();
    this.#frozen = undefined;
    this.#ends?.client.resume();
  }

  /** Ends one stream at its receiver, who may go on sending. What else comes for it is dropped. */
  halfClose(direction: Direction): void {
    if (this.#halfClosed.has(direction)) return;
    this.#halfClosed.add(direction);
    if (direction === "toServer") this.#ends?.server.closeWrite().catch(() => {});
    else this.#socket.end();
  }

  /** Ends the stream to the server, and adds these bytes to what the server still says before it ends. */
  endWith(lastWords: Uint8Array): void {
    this.#lastWords = lastWords;
    this.halfClose("toServer");
  }

  /** Has the server's next message of this text, as `WireMessage` has it, arrive as something else. */
  replace(text: RegExp, bytes: Uint8Array): void {
    this.#replacements.push({ text, bytes });
  }

  /** Keeps the rest of the server's answer from the client, who is told that its transaction has failed. */
  skipToReady(): void {
    this.#skips = true;
  }

  /** What passes for a message, if no fault strikes it. */
  replaced({ direction, kind, text, bytes }: WireMessage): Uint8Array {
    if (direction === "toServer") return bytes;
    if (this.#skips) {
      this.#skips = kind !== "ReadyForQuery";
      if (this.#skips) return NOTHING;
      return text === "T" ? encodeMessage("Z", "E") : bytes;
    }
    const [next] = this.#replacements;
    if (!next?.text.test(text)) return bytes;
    this.#replacements.shift();
    return next.bytes;
  }

  /** Ends the client with a close frame, and then the server. */
  dismiss(): void {
    this.#halfClosed.add("toClient");
    if (this.#ends !== undefined) dismiss(this.#ends.client, 1000);
  }

  /** Waits for something, but no longer than the connection lasts. */
  async during<T>(promise: Promise<T>): Promise<T> {
    return await Promise.race([promise, this.#ended.promise]);
  }

  async wait(ms: number): Promise<void> {
    const over = Promise.withResolvers<void>();
    const timer = setTimeout(() => over.resolve(), ms);
    try {
      await this.during(over.promise);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A connection that never got as far as `carry`. */
  refused(): void {
    this.#end();
    this.closedMs = performance.now();
    this.#closed.resolve();
  }

  /** Carries bytes both ways until both sides are shut. */
  async carry(ends: Ends, { signal, through }: { signal: AbortSignal; through: Passage }) {
    const { client, server } = this.#ends = ends;
    this.openedMs = performance.now();
    if (this.#frozen !== undefined) client.pause();
    // Whoever reads from the client resumes it for more; a frozen one stays as it is.
    const resume = client.resume.bind(client);
    client.resume = () => {
      if (this.#frozen === undefined) resume();
    };
    const clientClosed = new Promise<void>((resolve) => client.once("close", () => resolve()));
    // `close` follows every `error`; without a listener the process would end.
    client.on("error", () => {});
    const stop = () => {
      this.cut();
      close(server);
    };
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();

    const toServer = this.#pump("toServer", through(messagesOf(client), "toServer"))
      .then(() => server.closeWrite())
      .catch(() => {});
    const toClient = this.#pump("toClient", through(chunksOf(server), "toClient"))
      .then(() => this.#serverEnded())
      .catch((error) => this.#serverLost(error));

    await clientClosed;
    // What is held for the server is still delivered to it, without its client.
    await this.during(toServer).catch(() => {});
    await completesWithin(toClient, LINGER_MS);
    close(server);
    this.#end();
    await Promise.all([toServer, toClient]);
    signal.removeEventListener("abort", stop);
    this.closedMs = performance.now();
    this.#closed.resolve();
  }

  async #pump(direction: Direction, passage: AsyncIterable<Uint8Array>): Promise<void> {
    const { client, server } = this.#ends!;
    for await (const bytes of passage) {
      await this.#passable();
      if (bytes.length === 0 || this.#halfClosed.has(direction)) continue;
      if (direction === "toServer") await writeAll(server, bytes);
      else await send(client, bytes);
    }
    await this.#passable();
  }

  async #serverEnded(): Promise<void> {
    const { client } = this.#ends!;
    if (this.#lastWords !== undefined) await send(client, this.#lastWords);
    if (!this.#halfClosed.has("toClient")) dismiss(client, 1000);
  }

  async #serverLost(error: unknown): Promise<void> {
    const { client, server } = this.#ends!;
    if (!(error instanceof Ended)) return dismiss(client, 1011, "Server connection lost");
    try {
      // A server that is not read from cannot get to the end of what it was sent.
      for await (const _ of chunksOf(server));
    } catch {
      // Closed meanwhile.
    }
  }

  /** Rejects once the connection has ended: nothing passes then. */
  async #passable(): Promise<void> {
    while (this.#frozen !== undefined) await this.during(this.#frozen.promise);
    if (this.#isOver) throw new Ended();
  }

  #end(): void {
    this.#isOver = true;
    this.#ended.reject(new Ended());
  }
}

/** Counts what came from one side. */
export function count(traffic: Traffic, chunk: Uint8Array, messages: readonly WireMessage[]): void {
  traffic.chunks++;
  traffic.bytes += chunk.length;
  for (const { kind } of messages) {
    traffic.messages.set(kind, (traffic.messages.get(kind) ?? 0) + 1);
  }
}
