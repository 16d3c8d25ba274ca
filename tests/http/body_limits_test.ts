/** Bodies at the bounds of what is used, and of what is read. */
import { assertEquals, assertRejects } from "@std/assert";
import { readBody } from "../../src/http/body.ts";
import { ProblemError } from "../../src/http/problem.ts";

const MAX_BYTES = 64 * 1024;
const MAX_DRAINED = 1024 * 1024;

/** A request whose body comes in chunks of these sizes, each byte telling its place, and what became of its stream. */
function requestOf(sizes: readonly number[], headers: HeadersInit = {}) {
  const stream = { chunks: 0, isCancelled: false };
  let offset = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const size = sizes[stream.chunks];
      if (size === undefined) return controller.close();
      controller.enqueue(bytesOf(size, offset));
      stream.chunks++;
      offset += size;
    },
    cancel() {
      stream.isCancelled = true;
    },
  }, { highWaterMark: 0 });
  const init = { method: "POST", body, duplex: "half", headers } as RequestInit;
  return { request: new Request("http://localhost/", init), stream };
}

/** Bytes that differ from their neighbours, and are never 0. */
function bytesOf(size: number, offset = 0): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => (offset + index) % 251 + 1);
}

async function assertTooLarge(request: Request): Promise<void> {
  const error = await assertRejects(() => readBody(request), ProblemError);
  assertEquals(error.problem.status, 413);
}

for (
  const sizes of [
    [MAX_BYTES],
    [MAX_BYTES - 1, 1],
    [1, MAX_BYTES - 1],
    [MAX_BYTES / 2, MAX_BYTES / 2],
    [MAX_BYTES, 0],
  ]
) {
  Deno.test(`a body of exactly 64 KiB, in chunks of ${sizes.join(" and ")} bytes, keeps every byte`, async () => {
    assertEquals(await readBody(requestOf(sizes).request), bytesOf(MAX_BYTES));
  });
}

Deno.test("a body of one byte more than 64 KiB is too large, however it is cut", async () => {
  for (const sizes of [[MAX_BYTES + 1], [MAX_BYTES, 1], [1, MAX_BYTES]]) {
    const { request, stream } = requestOf(sizes);
    await assertTooLarge(request);
    assertEquals([stream.chunks, stream.isCancelled], [sizes.length, false]);
  }
});

Deno.test("a body that is too large is read to its end up to 1 MiB, and cancelled beyond", async () => {
  const drained = requestOf([MAX_DRAINED - 1, 1]);
  await assertTooLarge(drained.request);
  assertEquals(drained.stream, { chunks: 2, isCancelled: false });
  const cancelled = requestOf([MAX_DRAINED, 1, 1]);
  await assertTooLarge(cancelled.request);
  assertEquals(cancelled.stream, { chunks: 2, isCancelled: true });
});

Deno.test("a body that declares more than 1 MiB is not read, and one that declares exactly as much is", async () => {
  const declaring = (length: number) => requestOf([1], { "Content-Length": String(length) });
  const unread = declaring(MAX_DRAINED + 1);
  await assertTooLarge(unread.request);
  assertEquals(unread.stream.chunks, 0);
  const read = declaring(MAX_DRAINED);
  assertEquals((await readBody(read.request)).length, 1);
});
