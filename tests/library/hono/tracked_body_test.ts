/** What ends with a body, whichever way the body ends. */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { DeadlineError } from "../../../src/db/mod.ts";
import { trackBody } from "../../../src/library/hono/tracked_body.ts";

const encoder = new TextEncoder();

/** A source of chunks that notes what is done to it; `next` answers each read after the chunks. */
function sourceOf(
  chunks: readonly string[],
  next: () => Promise<void> = () => Promise.resolve(),
  onCancel: () => Promise<void> = () => Promise.resolve(),
) {
  const cancelled: unknown[] = [];
  let sent = 0;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const chunk = chunks[sent++];
      if (chunk !== undefined) return controller.enqueue(encoder.encode(chunk));
      await next();
      controller.close();
    },
    cancel(reason) {
      cancelled.push(reason);
      return onCancel();
    },
  }, { highWaterMark: 0 });
  return { stream, cancelled };
}

/** The response behind `trackBody`, and what it told its owner, in order. */
function ended(
  body: ReadableStream<Uint8Array> | null,
  options: { hasReader?: boolean; timeoutMs?: number; onEnd?: () => Promise<void> } = {},
) {
  const told: string[] = [];
  const reasons: unknown[] = [];
  const over = Promise.withResolvers<void>();
  const given = new Response(body, { status: 203, headers: { "X-Kind": "given" } });
  const response = trackBody(given, {
    hasReader: options.hasReader ?? true,
    timeoutMs: options.timeoutMs ?? 60_000,
    onAbort(reason) {
      told.push("given up");
      reasons.push(reason);
    },
    async onEnd() {
      await options.onEnd?.();
      told.push("ended");
      over.resolve();
    },
  });
  return { given, response, told, reasons, over: over.promise };
}

/** Lets all promises settle that wait for no timer and no socket. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

const NEVER = new Promise<never>(() => {});

Deno.test("a body that is read to its end is not given up, and its owner has ended before its reader is told", async () => {
  const { stream, cancelled } = sourceOf(["a", "b"]);
  const { response, told } = ended(stream);
  const reader = response.body!.getReader();
  await reader.read();
  await reader.read();
  assertEquals(told, []);
  assertEquals((await reader.read()).done, true);
  assertEquals([told, cancelled], [["ended"], []]);
  assertEquals([response.status, response.headers.get("X-Kind")], [203, "given"]);
});

Deno.test("a reader that leaves gives up the source and the owner's work with its reason, and waits for the end", async () => {
  const { stream, cancelled } = sourceOf(["a", "b"]);
  const { response, told, reasons } = ended(stream);
  const reader = response.body!.getReader();
  await reader.read();
  await reader.cancel("the client has left");
  assertEquals(told, ["given up", "ended"]);
  assertEquals([reasons, cancelled], [["the client has left"], ["the client has left"]]);
});

Deno.test("a source that fails gives up the owner's work with its error, which the reader gets", async () => {
  const failure = new Error("rows failed");
  const { stream } = sourceOf(["a"], () => Promise.reject(failure));
  const { response, told, reasons } = ended(stream);
  const reader = response.body!.getReader();
  await reader.read();
  assertStrictEquals(await reader.read().catch((error) => error), failure);
  assertEquals(told, ["given up", "ended"]);
  assertStrictEquals(reasons[0], failure);
});

Deno.test("a body that is not finished in time gives up the source and the owner's work with a DeadlineError", async () => {
  const { stream, cancelled } = sourceOf(["a", "b"]);
  const { response, told, reasons, over } = ended(stream, { timeoutMs: 1 });
  await over;
  assertEquals(told, ["given up", "ended"]);
  const [reason] = reasons;
  assert(reason instanceof DeadlineError, String(reason));
  assertStrictEquals(cancelled[0], reason);
  assertStrictEquals(await response.text().catch((error) => error), reason);
});

Deno.test("a source that does not let go does not keep the owner from ending", async () => {
  for (const onCancel of [() => NEVER, () => Promise.reject(new Error("will not"))]) {
    const { stream } = sourceOf(["a"], undefined, onCancel);
    const { response, told } = ended(stream);
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel("left");
    assertEquals(told, ["given up", "ended"]);
  }
});

Deno.test("a body that is not read is aborted at once, and the response keeps its head", async () => {
  const { stream, cancelled } = sourceOf(["a"]);
  const { response, told, reasons, over } = ended(stream, { hasReader: false });
  await over;
  assertEquals(told, ["given up", "ended"]);
  assertEquals([reasons, cancelled], [["the body is not read"], ["the body is not read"]]);
  assertEquals([response.body, response.status, response.headers.get("X-Kind")], [
    null,
    203,
    "given",
  ]);
});

Deno.test("a response without a body is given as it is, and its owner ends at once", async () => {
  const { given, response, told, over } = ended(null);
  await over;
  assertStrictEquals(response, given);
  assertEquals(told, ["given up", "ended"]);
});

Deno.test("a body asks its source for no more than its reader asked for", async () => {
  let pulls = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulls++;
      controller.enqueue(encoder.encode("x"));
    },
  }, { highWaterMark: 0 });
  const { response } = ended(stream);
  await settle();
  assertEquals(pulls, 0);
  const reader = response.body!.getReader();
  await reader.read();
  await reader.read();
  await settle();
  assertEquals(pulls, 2);
  await reader.cancel();
});

Deno.test("an owner that is slow to end delays the end of the body", async () => {
  const end = Promise.withResolvers<void>();
  const { response, told } = ended(sourceOf(["a"]).stream, { onEnd: () => end.promise });
  const text = response.text();
  let hasReader = false;
  text.then(() => hasReader = true);
  await settle();
  assertEquals([hasReader, told], [false, []]);
  end.resolve();
  assertEquals(await text, "a");
});

Deno.test("an owner that is slow to end delays the error of a source that failed", async () => {
  const end = Promise.withResolvers<void>();
  const { stream } = sourceOf([], () => Promise.reject(new Error("rows failed")));
  const { response, told } = ended(stream, { onEnd: () => end.promise });
  let hasReader = false;
  const text = response.text().finally(() => hasReader = true);
  text.catch(() => {});
  await settle();
  assertEquals([hasReader, told], [false, ["given up"]]);
  end.resolve();
  await assertRejects(() => text, Error, "rows failed");
});
