/** One HTTP exchange: converts between node's server and the web's `Request` and `Response`. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Buffer } from "node:buffer";
import { completesWithin } from "../db/time/timeout.ts";
import { originOf, refuseHost, refuseUnrouted } from "../http/host.ts";
import { incomingRequest } from "./incoming_request.ts";
import { unreadText } from "./outgoing_response.ts";

/** Of a body that nobody reads, before an answer that closes the connection. */
const MAX_REST_BYTES = 2 * 1024 * 1024;
const MAX_REST_MS = 1_000;

/** A longer body is written in slices. */
const SLICE_BYTES = 256 * 1024;

/** What a handler gets beside the request. */
export interface ExchangeInfo {
  /** The other end of the connection: the client, or a proxy. */
  readonly remoteAddr: { readonly hostname: string };
}

export type Handler = (request: Request, info: ExchangeInfo) => Response | Promise<Response>;

/** The request, or the response if there can be none. */
export function requestOf(message: IncomingMessage): Request | Response {
  const { rawHeaders } = message;
  const hosts = valuesOf(rawHeaders, "host");
  // Only HTTP/1.0 has requests without one.
  const [host = message.httpVersion === "1.0" ? "localhost" : ""] = hosts;
  const origin = hosts.length > 1 ? undefined : originOf(host);
  if (origin === undefined) return refuseHost();
  const method = message.method!;
  // https://fetch.spec.whatwg.org/#forbidden-method; node's parser knows no other method that `Request` refuses.
  if (method === "TRACE") {
    const detail = `Cannot take the request as its method is TRACE; use one of ${METHODS}`;
    return refuseUnrouted("method-not-allowed", detail, { Allow: METHODS });
  }
  const url = urlOf(message.url!, origin);
  if (url === undefined) {
    const detail =
      "Cannot take the request as its target is neither a path nor an http URL; send a path";
    return refuseUnrouted("malformed-request", detail);
  }
  // Node's parser finds it after the head: https://www.rfc-editor.org/rfc/rfc9112#section-6.3
  const coding = valuesOf(rawHeaders, "transfer-encoding").at(-1);
  if (coding !== undefined && !/(?:^|,)[ \t]*chunked[ \t]*$/i.test(coding)) {
    const detail =
      "Cannot take the request as its last transfer coding is not chunked, so that its body has no end; send it chunked";
    return refuseUnrouted("malformed-request", detail);
  }
  const hasBody = method !== "GET" && method !== "HEAD" && !hasNoBody(message);
  const body = hasBody ? { take: () => takenOf(message), open: () => bodyOf(message) } : undefined;
  return incomingRequest({ url, method, rawHeaders, body });
}

const METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS";

/** A target that is in a URL as it is: without dot segments, and without what a URL encodes or decodes. */
const PLAIN_TARGET = /^\/(?!\.)(?:[\w~!$&()*+,;=:@?-]|\/(?!\.)|(?<!\/)\.)*$/;

/** https://www.rfc-editor.org/rfc/rfc9112#section-3.2: a path, or an absolute URL, whose host then counts. */
function urlOf(target: string, origin: string): string | undefined {
  if (PLAIN_TARGET.test(target)) return origin + target;
  if (target.startsWith("/")) return new Request(origin + target).url;
  const [, authority, path] = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target) ?? [];
  const named = authority && originOf(authority);
  if (!named || path === undefined) return undefined;
  return new Request(named + (path.startsWith("/") ? path : `/${path}`)).url;
}

/** Node makes `message.headers` when it is first read, which costs more. */
function valuesOf(rawHeaders: readonly string[], wanted: string): string[] {
  const values: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!;
    if (name.length !== wanted.length || name.toLowerCase() !== wanted) continue;
    values.push(rawHeaders[index + 1]!);
  }
  return values;
}

/** Whether its headers announce no body. */
export function hasNoBody({ rawHeaders }: IncomingMessage): boolean {
  const [length = "0"] = valuesOf(rawHeaders, "content-length");
  return length === "0" && valuesOf(rawHeaders, "transfer-encoding").length === 0;
}

/** Emitted by a request whose body has broken off. */
const BROKEN_OFF = "brokenOff";

const brokenOff = new WeakSet<IncomingMessage>();

/** Ends the request's body with an error, but not its connection: what comes of it is no HTTP, or comes too late. */
export function breakOff(message: IncomingMessage): void {
  brokenOff.add(message);
  message.emit(BROKEN_OFF);
}

/** Whether `breakOff` was called. The connection cannot serve another request then. */
export function hasBrokenOff(message: IncomingMessage): boolean {
  return brokenOff.has(message);
}

/** All of the body, if it has arrived, as most bodies have when they are read, and nothing has been read of it. */
function takenOf(message: IncomingMessage): Uint8Array<ArrayBuffer> | undefined {
  if (!message.complete || message.readableFlowing !== null || message.destroyed) return undefined;
  const chunks: Buffer<ArrayBuffer>[] = [];
  // Each call returns one chunk, not all that is there as in older versions of node.
  for (let next = message.read(); next !== null; next = message.read()) chunks.push(next);
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
}

/**
 * Reads from the socket only what the reader asks for. Of a body that is not read at all, node discards the rest itself;
 * `discardRest` does so for one that is read in part.
 */
function bodyOf(message: IncomingMessage): ReadableStream<Uint8Array<ArrayBuffer>> {
  let hasBegun = false;
  let isOver = false;
  const begin = (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
    const end = (close: () => void) => {
      if (!isOver) close();
      isOver = true;
    };
    message.on("data", (chunk: Uint8Array<ArrayBuffer>) => {
      if (isOver) return;
      controller.enqueue(chunk);
      message.pause();
    });
    message.once("end", () => end(() => controller.close()));
    const gone = () => end(() => controller.error(new Error("The body broke off")));
    // Emitted after "end" too. Before it, the client has gone.
    message.once("close", gone);
    message.once(BROKEN_OFF, gone);
    message.once("error", () => {});
    if (message.destroyed || hasBrokenOff(message)) gone();
  };
  return new ReadableStream({
    pull(controller) {
      const bytes = takenOf(message);
      if (bytes !== undefined) {
        if (bytes.length > 0) controller.enqueue(bytes);
        return controller.close();
      }
      if (!hasBegun) begin(controller);
      hasBegun = true;
      message.resume();
    },
    cancel() {
      isOver = true;
      message.resume();
    },
  }, { highWaterMark: 0 });
}

/** Lets the next request of the connection be read after a body that the handler has not read to its end. */
export function discardRest(message: IncomingMessage): void {
  if (message.complete) return;
  dropReader(message);
  message.resume();
}

/** Who still reads the body must not take what has come for all of it. */
function dropReader(message: IncomingMessage): void {
  message.emit(BROKEN_OFF);
  message.removeAllListeners("data");
}

/**
 * Waits, within bounds, for the rest of a body that nobody reads. If the connection were closed while the client sends, the
 * kernel would reset it, and the client would not see its answer: https://www.rfc-editor.org/rfc/rfc9112#section-9.6
 */
async function restArrived(message: IncomingMessage): Promise<void> {
  if (message.complete || message.destroyed || hasBrokenOff(message)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  let length = 0;
  dropReader(message);
  message.on("data", (chunk: Uint8Array) => {
    length += chunk.length;
    if (length > MAX_REST_BYTES) resolve();
  });
  for (const event of ["end", "close", BROKEN_OFF]) message.once(event, resolve);
  message.resume();
  await completesWithin(promise, MAX_REST_MS);
}

/**
 * Writes the response, at the pace of the reader. Resolves when it is written, or the connection has ended. Rejects if the
 * response's body fails, or its head cannot be written.
 */
export async function respond(
  out: ServerResponse,
  response: Response,
  { closes, keepAliveMs }: { closes: boolean; keepAliveMs: number },
): Promise<void> {
  const text = unreadText(response);
  const reader = text === undefined ? response.body?.getReader() : undefined;
  // A response that is a stream may be made of the request's body.
  if (reader === undefined && (closes || !out.shouldKeepAlive)) await restArrived(out.req);
  if (out.destroyed) return void reader?.cancel().catch(() => {});
  const ended = new Promise<void>((resolve) => out.once("close", resolve));
  const head = headOf(response);
  if (closes) head.push("connection", "close");
  // So that a client sends nothing into a connection that is about to be closed.
  else if (out.shouldKeepAlive) head.push("keep-alive", `timeout=${keepAliveMs / 1_000}`);
  if (reader === undefined) {
    await writeWhole(out, head, { status: response.status, body: text });
    return await ended;
  }
  void ended.then(() => reader.cancel().catch(() => {}));
  await writeBody(out, head, { status: response.status, reader });
  await ended;
}

/** Names and values in turn, as node takes them without a copy. */
function headOf({ headers }: Response): string[] {
  const head: string[] = [];
  headers.forEach((value, name) => head.push(name, value));
  return head;
}

async function writeWhole(
  out: ServerResponse,
  head: string[],
  { status, body }: { status: number; body: Uint8Array | string | undefined },
): Promise<void> {
  const length = body === undefined ? 0 : Buffer.byteLength(body);
  if (body !== undefined && !head.includes("content-length")) {
    head.push("content-length", String(length));
  }
  out.writeHead(status, head);
  // Node joins the text to the head, which is in Latin-1. A text that has a byte for each character is in ASCII.
  if (typeof body === "string" && body.length === length && length <= SLICE_BYTES) {
    const { socket } = out;
    out.write(body, "latin1");
    // `end` adds an empty chunk, and node would write both together. To write the text before takes a twentieth less time.
    socket?.uncork();
    return void out.end();
  }
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  // In slices, so that `WriteWatch` sees that the client reads.
  let at = 0;
  for (; length - at > SLICE_BYTES; at += SLICE_BYTES) {
    await write(out, bytes!.subarray(at, at + SLICE_BYTES));
  }
  out.end(bytes?.subarray(at));
}

async function writeBody(
  out: ServerResponse,
  head: string[],
  { status, reader }: { status: number; reader: ReadableStreamDefaultReader<Uint8Array> },
): Promise<void> {
  const first = await reader.read();
  if (first.done) return await writeWhole(out, head, { status, body: undefined });
  const second = reader.read();
  // A body that was made at once ends within a few microtasks, and is sent with its length. Others are sent in chunks.
  if (await endsAtOnce(second)) return await writeWhole(out, head, { status, body: first.value });
  out.writeHead(status, head);
  await write(out, first.value);
  for (let next = await second; !next.done; next = await reader.read()) {
    await write(out, next.value);
  }
  out.end();
}

async function endsAtOnce(read: Promise<ReadableStreamReadResult<Uint8Array>>): Promise<boolean> {
  let isEnd = false;
  read.then(({ done }) => isEnd = done, () => {});
  for (let turn = 0; turn < 4 && !isEnd; turn++) await undefined;
  return isEnd;
}

async function write(out: ServerResponse, chunk: Uint8Array): Promise<void> {
  if (out.write(chunk) || out.destroyed) return;
  await new Promise<void>((resolve) => {
    // Both are removed: after ten that stay, node prints a warning, which is no JSON line.
    const go = () => {
      out.off("drain", go).off("close", go);
      resolve();
    };
    out.on("drain", go).on("close", go);
  });
}
