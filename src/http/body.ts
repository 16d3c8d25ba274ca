/** Reads a request's body, within a limit of size and of time. */

import type { Context } from "hono";
import { ProblemError } from "./problem.ts";

/** Far more than the body for one user can have. */
const MAX_BODY_BYTES = 64 * 1024;

/** Limits the wait for a client that stops sending. */
const MAX_BODY_MS = 10_000;

/**
 * A body that is too large is read up to this size, or twice its limit, before it is refused. If a server responds and
 * closes while the client is still sending, the connection is reset and the client never sees the response.
 */
const MIN_DRAINED_BYTES = 1024 * 1024;

/** Bodies that are waited for at once. Each may grow to its limit, and a slow client keeps its place for its time. */
const MAX_BODIES = 256;

/** How large a body may be, and how long it may take. */
export interface BodyBounds {
  readonly maxBytes?: number;
  readonly maxMs?: number;
}

export interface ReadOptions extends BodyBounds {
  /** The time that the request has. */
  readonly timeoutMs?: number;
  /** Calls `wait` for a body that has not arrived with its request, or throws. Without it, all are waited for. */
  readonly waitIn?: (<T>(wait: () => Promise<T>) => Promise<T>) | undefined;
}

/** What a request may have besides: its server has read the body. */
export interface TakesBody {
  /** All of the body, if it has come and nothing has been read of it. It then counts as read. */
  takeBody(): Uint8Array | undefined;
}

export interface BodyLimitOptions {
  /** By default 256. */
  readonly max?: number;
  /**
   * Names the client of a request; `undefined` if nothing tells it. One client gets at most half of the places, so that its
   * slow bodies do not refuse those of others.
   */
  readonly clientOf?: ((c: Context) => string | undefined) | undefined;
  /** Runs the wait for a body, and what the request waits for after it. The body has its place for as long. */
  readonly leaveWhile?: (<T>(c: Context, wait: () => Promise<T>) => Promise<T>) | undefined;
}

/** Counts the bodies that one process waits for, within a bound. One that has arrived with its request does not count. */
export class BodyLimit {
  readonly #options: BodyLimitOptions;
  readonly #max: number;
  readonly #perClient: number;
  #count = 0;
  /** Of the clients that have any. */
  readonly #counts = new Map<string, number>();

  constructor(options: BodyLimitOptions = {}) {
    const { max = MAX_BODIES } = options;
    this.#options = options;
    this.#max = max;
    this.#perClient = Math.ceil(max / 2);
  }

  /** One for other bodies of the same clients. */
  of(max: number): BodyLimit {
    return new BodyLimit({ ...this.#options, max });
  }

  /** Throws `ProblemError` (503) if too many bodies, or too many of the client, have a place. */
  async run<T>(c: Context, wait: () => Promise<T>): Promise<T> {
    const { clientOf, leaveWhile } = this.#options;
    const client = clientOf?.(c);
    const has = client === undefined ? 0 : this.#counts.get(client) ?? 0;
    if (has >= this.#perClient) throw tooMany(`${has} requests of its client`);
    if (this.#count >= this.#max) throw tooMany(`${this.#max} requests`);
    this.#add(client, 1);
    try {
      return await (leaveWhile?.(c, wait) ?? wait());
    } finally {
      this.#add(client, -1);
    }
  }

  #add(client: string | undefined, by: 1 | -1): void {
    this.#count += by;
    if (client === undefined) return;
    const count = (this.#counts.get(client) ?? 0) + by;
    if (count === 0) this.#counts.delete(client);
    else this.#counts.set(client, count);
  }
}

/**
 * The whole body. `maxBytes` holds for the bytes received, not for the declared length. Throws `ProblemError`:
 * 413 if the body is too large, 408 if it takes longer than `maxMs` or than a shorter `timeoutMs`, 400 if it breaks off,
 * and what `waitIn` throws.
 */
export async function readBody(
  request: Request,
  { maxBytes = MAX_BODY_BYTES, maxMs = MAX_BODY_MS, timeoutMs = Infinity, waitIn }: ReadOptions =
    {},
): Promise<Uint8Array> {
  if (Number(request.headers.get("Content-Length")) > drainedOf(maxBytes)) throw tooLarge(maxBytes);
  // A stream would cost more than the rest of the request.
  const taken = (request as Partial<TakesBody>).takeBody?.();
  if (taken !== undefined) {
    if (taken.length > maxBytes) throw tooLarge(maxBytes);
    return taken;
  }
  const reader = request.body?.getReader();
  if (reader === undefined) return new Uint8Array();
  const reading = readAll(reader, maxBytes);
  // Most bodies have arrived by now: a timer would cost as much as to read them.
  if (await settlesAtOnce(reading)) return await reading;
  const cancel = () => void reader.cancel().catch(() => {});
  const wait = () => inTime(reading, { limitMs: Math.min(maxMs, timeoutMs), cancel });
  try {
    return await (waitIn?.(wait) ?? wait());
  } catch (error) {
    cancel();
    throw error;
  }
}

async function inTime(
  reading: Promise<Uint8Array>,
  { limitMs, cancel }: { readonly limitMs: number; readonly cancel: () => void },
): Promise<Uint8Array> {
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    cancel();
  }, limitMs);
  try {
    const bytes = await reading;
    if (isLate) throw tooSlow(limitMs);
    return bytes;
  } catch (error) {
    // A cancelled read rejects in workerd; in Deno it resolves as the end of the body.
    throw isLate ? tooSlow(limitMs) : error;
  } finally {
    clearTimeout(timer);
  }
}

/** Whether the promise settles while nothing but promises runs: some two turns of them for each chunk that is there. */
async function settlesAtOnce(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  const note = () => {
    isSettled = true;
  };
  promise.then(note, note);
  for (let turn = 0; turn < 12 && !isSettled; turn++) await undefined;
  return isSettled;
}

function drainedOf(maxBytes: number): number {
  return Math.max(MIN_DRAINED_BYTES, 2 * maxBytes);
}

async function readAll(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array> {
  let bytes = new Uint8Array(0);
  let length = 0;
  while (length <= drainedOf(maxBytes)) {
    const { done, value } = await readChunk(reader);
    if (done) {
      if (length > maxBytes) break;
      return bytes.subarray(0, length);
    }
    if (length + value.length <= maxBytes) {
      bytes = withRoomFor(length + value.length, bytes, maxBytes);
      bytes.set(value, length);
    }
    length += value.length;
  }
  reader.cancel().catch(() => {});
  throw tooLarge(maxBytes);
}

/**
 * Memory by need: a client that declares much and sends little costs little. Chunks are copied, because a chunk of one
 * byte may be a view of the runtime's whole read buffer of 64 KiB. Doubling keeps the copies of a long body few.
 */
function withRoomFor(
  length: number,
  bytes: Uint8Array<ArrayBuffer>,
  maxBytes: number,
): Uint8Array<ArrayBuffer> {
  if (length <= bytes.length) return bytes;
  const larger = new Uint8Array(Math.min(maxBytes, Math.max(length, 2 * bytes.length)));
  larger.set(bytes);
  return larger;
}

async function readChunk(reader: ReadableStreamDefaultReader<Uint8Array>) {
  try {
    return await reader.read();
  } catch (cause) {
    throw malformedBody("it ended too early", "send the whole body", { cause });
  }
}

function tooSlow(timeoutMs: number): ProblemError {
  return new ProblemError("body-too-slow", {
    detail: `Cannot read the body as it took longer than ${
      Math.round(timeoutMs)
    } ms; send it again`,
  });
}

function tooMany(requests: string): ProblemError {
  return new ProblemError("overloaded", {
    detail:
      `Cannot wait for the body as ${requests} have a late body, which is the limit; try again after Retry-After`,
    headers: { "Retry-After": "1" },
  });
}

function tooLarge(maxBytes: number): ProblemError {
  return new ProblemError("body-too-large", {
    detail: `Cannot read the body as it has more than ${maxBytes} bytes; send fewer`,
  });
}

/** The error (400) for a body that cannot be parsed. */
export function malformedBody(
  reason: string,
  wayOut: string,
  options?: ErrorOptions,
): ProblemError {
  const detail = `Cannot read the body as ${reason}; ${wayOut}`;
  return new ProblemError("malformed-request", { detail }, options);
}
