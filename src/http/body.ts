/** Reads a request's body, within a limit of size and of time. */

import { ProblemError } from "./problem.ts";

/** Far more than a valid body of this API can have. */
const MAX_BODY_BYTES = 64 * 1024;

/** Limits the wait for a client that stops sending. */
const BODY_TIMEOUT_MS = 10_000;

/**
 * A body that is too large is read up to this size before it is refused. If a server responds and closes while the
 * client is still sending, the connection is reset and the client never sees the response.
 */
const MAX_DRAINED_BYTES = 1024 * 1024;

/**
 * The whole body. `MAX_BODY_BYTES` holds for the bytes received, not for the declared length. Throws `ProblemError`:
 * 413 if the body is too large, 408 if it takes longer than `timeoutMs`, 400 if it breaks off.
 */
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
    // A cancelled read rejects in workerd; in Deno it resolves as the end of the body.
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
    throw malformedBody("it ended too early", "send the whole body", { cause });
  }
}

function tooSlow(timeoutMs: number): ProblemError {
  return new ProblemError("body-too-slow", {
    detail: `Cannot read the body as it took longer than ${timeoutMs} ms; send it again`,
  });
}

function tooLarge(): ProblemError {
  return new ProblemError("body-too-large", {
    detail: `Cannot read the body as it has more than ${MAX_BODY_BYTES} bytes; send fewer`,
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
