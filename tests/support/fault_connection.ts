/**
 * One connection of the fault relay: counts what has passed, and can be cut or frozen as a whole. It carries the bytes
 * itself: the relay's own link closes the server's side soon after the client's, and here a message may be held longer.
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
} from "../../src/library/testing/relay/relay_link.ts";
import { completesWithin } from "../../src/db/time/timeout.ts";
import { encodeMessage, type MessageKind, type WireMessage } from "./wire_messages.ts";

/** How long a server may take to close after its client has closed, before its side is cut. */
const LINGER_MS = 1_000;

const NOTHING = new Uint8Array(0);

/** Counts of what came from one side, before any fault. */
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
  /** Counted from 1, in the order of the dials. */
  readonly id: number;
  readonly traffic: Readonly<Record<Direction, Traffic>> = {
    toServer: { chunks: 0, bytes: 0, messages: new Map() },
    toClient: { chunks: 0, bytes: 0, messages: new Map() },
  };
  /** Resolves when both sides are closed, or the dial was refused. */
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

  /** How many messages of a kind have come so far, from both sides together. */
  count(kind: MessageKind): number {
    const { toServer, toClient } = this.traffic;
    return (toServer.messages.get(kind) ?? 0) + (toClient.messages.get(kind) ?? 0);
  }

  /** Ends both sides, the client's without a close frame. The server still gets what was passed on before. */
  cut({ reset = false } = {}): void {
    this.#end();
    if (reset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
    // Closing a socket with unread answers would reset it, and so drop what the server has not read yet.
    this.#ends?.server.closeWrite().catch(() => {});
  }

  /** Stops both directions. Neither side notices, not even that the other side has closed. */
  freeze(): void {
    this.#frozen ??= Promise.withResolvers();
    this.#ends?.client.pause();
  }

  thaw(): void {
    this.#frozen?.resolve();
    this.#frozen = undefined;
    this.#ends?.client.resume();
  }

  /** Ends the stream of one direction, and drops what else comes in it. The other direction goes on. */
  halfClose(direction: Direction): void {
    if (this.#halfClosed.has(direction)) return;
    this.#halfClosed.add(direction);
    if (direction === "toServer") this.#ends?.server.closeWrite().catch(() => {});
    else this.#socket.end();
  }

  /** Ends the stream to the server, and sends the client these bytes after the server's last ones. */
  endWith(lastWords: Uint8Array): void {
    this.#lastWords = lastWords;
    this.halfClose("toServer");
  }

  /** Replaces the server's next message whose `WireMessage.text` matches. */
  replace(text: RegExp, bytes: Uint8Array): void {
    this.#replacements.push({ text, bytes });
  }

  /** Drops the rest of the server's answer. Its ReadyForQuery tells the client that the transaction has failed. */
  skipToReady(): void {
    this.#skips = true;
  }

  /** The bytes to pass on for a message that no fault strikes. */
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

  /** Awaits a promise; rejects with `Ended` when the connection ends first. */
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

  /** Ends a connection before `carry` was called. */
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
    // Readers of the client resume it for more. A frozen client must stay paused.
    const resume = client.resume.bind(client);
    client.resume = () => {
      if (this.#frozen === undefined) resume();
    };
    const clientClosed = new Promise<void>((resolve) => client.once("close", () => resolve()));
    // `close` follows every `error`. Without a listener an `error` would end the process.
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
    // A message that is held still reaches the server after its client has left.
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
      // Unless its answers are read, the server cannot finish what it was sent.
      for await (const _ of chunksOf(server));
    } catch {
      // Closed meanwhile.
    }
  }

  /** Waits while the connection is frozen; throws `Ended` once it has ended. */
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
