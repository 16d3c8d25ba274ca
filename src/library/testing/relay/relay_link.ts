/**
 * One relayed connection: a WebSocket on one side, a TCP connection on the other, and a pump for each direction. A pump
 * reads the next bytes only after the other side has taken the previous ones. A slow reader therefore slows its writer
 * down, and the relay holds one chunk for each direction. To change the traffic, put an async generator between a
 * source and its sink.
 */
import type { Buffer } from "node:buffer";
// @ts-types="npm:@types/ws@8.18.2"
import { WebSocket } from "ws";
import { completesWithin } from "../../../db/time/timeout.ts";

/** After its client has closed, PostgreSQL has this long to close the connection. Then the relay closes it. */
const LINGER_MS = 1_000;

/** When the relay closes, a client has this long to answer the close frame. Then the relay cuts the connection. */
const CLOSE_FRAME_TIMEOUT_MS = 250;

const CHUNK_BYTES = 64 * 1024;

/** The direction of bytes that pass the relay. */
export type Direction = "toServer" | "toClient";

export interface LinkOptions {
  /** Ends the link: the client gets close code 1001, and the connection to the server is closed. */
  readonly signal: AbortSignal;
  /** Called with every chunk before it is passed on. Must not change it. */
  readonly onMessage?: ((direction: Direction, bytes: Uint8Array) => void) | undefined;
}

/** A function that carries a connection. */
export type Link = typeof link;

/** Carries bytes both ways until one side ends. Resolves when both sides are closed; never rejects. */
export async function link(
  client: WebSocket,
  server: Deno.TcpConn,
  { signal, onMessage }: LinkOptions,
): Promise<void> {
  const clientClosed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  // `close` follows every `error`. An `error` event without a listener would end the process.
  client.on("error", () => {});

  const toServer = pump(messagesOf(client), async (bytes) => {
    onMessage?.("toServer", bytes);
    await writeAll(server, bytes);
  }).then(() => server.closeWrite()).catch(() => {});

  const toClient = pump(chunksOf(server), async (bytes) => {
    onMessage?.("toClient", bytes);
    await send(client, bytes);
  }).then(() => dismiss(client, 1000), () => dismiss(client, 1011, "Server connection lost"));

  const pumps = Promise.all([toServer, toClient]);
  const stop = () => end(client, server, clientClosed);
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();

  await clientClosed;
  // Wait for the last bytes to the server. Closing with unread answers would reset the connection and lose those bytes.
  await completesWithin(pumps, LINGER_MS);
  close(server);
  await pumps;
  signal.removeEventListener("abort", stop);
}

async function pump(
  source: AsyncIterable<Uint8Array>,
  sink: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  for await (const bytes of source) await sink(bytes);
}

export function messagesOf(client: WebSocket): ReadableStream<Uint8Array> {
  let cancelled = false;
  return new ReadableStream({
    start(controller) {
      client.on("message", (data, isBinary) => {
        if (cancelled || client.readyState !== WebSocket.OPEN) return;
        if (!isBinary) return dismiss(client, 1003, "Text frames are not PostgreSQL");
        controller.enqueue(data as Buffer);
        if ((controller.desiredSize ?? 0) <= 0) client.pause();
      });
      client.once("close", () => cancelled || controller.close());
    },
    pull: () => client.resume(),
    cancel() {
      cancelled = true;
      client.resume();
    },
  }, { highWaterMark: 1 });
}

export async function* chunksOf(server: Deno.TcpConn): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (let size; (size = await server.read(buffer)) !== null;) yield buffer.slice(0, size);
}

export async function writeAll(server: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await server.write(bytes.subarray(sent));
}

/** Resolves when the socket has taken the bytes, or when the client is gone. */
export function send(client: WebSocket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => client.send(bytes, () => resolve()));
}

/** Sends a close frame. `ws` gives the client 30 s to read the remaining messages and to answer. */
export function dismiss(client: WebSocket, code: number, reason?: string): void {
  client.close(code, reason);
  // A paused socket would not read the client's answer.
  client.resume();
}

function end(client: WebSocket, server: Deno.TcpConn, clientClosed: Promise<void>): void {
  dismiss(client, 1001, "Relay is closing");
  close(server);
  const timer = setTimeout(() => client.terminate(), CLOSE_FRAME_TIMEOUT_MS);
  clientClosed.then(() => clearTimeout(timer));
}

export function close(server: Deno.TcpConn): void {
  try {
    server.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
