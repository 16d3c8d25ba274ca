/** Reads a body within bounds. */

import { ProblemError } from "./problem.ts";

/** Far more than any body of this API needs. */
const MAX_BODY_BYTES = 64 * 1024;

/** A client that sends nothing must not be waited for without end. */
const BODY_TIMEOUT_MS = 10_000;

/**
 * How much of a body that is too large is read all the same: a server that answers and closes while the client still
 * sends resets the connection, and the client never sees the answer.
 */
const MAX_DRAINED_BYTES = 1024 * 1024;

/** The whole body, of at most `MAX_BODY_BYTES`, whatever length was declared. Throws `ProblemError`. */
export async function readBody(
  request: Request,
  { timeoutMs = BODY_TIMEOUT_MS }: { timeoutMs?: number } = {},
): Promise<Uint8Array> {
  if (Number(request.headers.get("Content-Length")) > MAX_DRAINED_BYTES) throw tooLarge();
  const reader = request.body?.getReader();
  if (reader === undefined) return new Uint8Array();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    reader.cancel().catch(() => {});
  }, timeoutMs);
  try {
    const bytes = await readAll(reader);
    if (isLate) throw tooSlow(timeoutMs);
    return bytes;
  } catch (error) {
    // In workerd a read that is cancelled rejects; elsewhere it is the body's end.
    throw isLate ? tooSlow(timeoutMs) : error;
  } finally {
    clearTimeout(timer);
  }
}

async function readAll(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array> {
  const bytes = new Uint8Array(MAX_BODY_BYTES);
  let length = 0;
  while (length <= MAX_DRAINED_BYTES) {
    const { done, value } = await readChunk(reader);
    if (done) {
      if (length > MAX_BODY_BYTES) break;
      return bytes.subarray(0, length);
    }
    if (length + value.length <= MAX_BODY_BYTES) bytes.set(value, length);
    length += value.length;
  }
  reader.cancel().catch(() => {});
  throw tooLarge();
}

async function readChunk(reader: ReadableStreamDefaultReader<Uint8Array>) {
  try {
    return await reader.read();
  } catch (cause) {
    throw malformedBody("it ended too early", "send all of it", { cause });
  }
}

function tooSlow(timeoutMs: number): ProblemError {
  return new ProblemError("body-too-slow", {
    detail: `Cannot read the body as it took longer than ${timeoutMs} ms; send it again`,
  });
}

function tooLarge(): ProblemError {
  return new ProblemError("body-too-large", {
    detail: `Cannot read the body as it has more than ${MAX_BODY_BYTES} bytes; send less`,
  });
}

/** The error for a body that cannot be understood. */
export function malformedBody(
  reason: string,
  wayOut: string,
  options?: ErrorOptions,
): ProblemError {
  const detail = `Cannot read the body as ${reason}; ${wayOut}`;
  return new ProblemError("malformed-request", { detail }, options);
}
