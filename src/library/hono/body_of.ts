/** A body from what a generator yields. */

/**
 * A body whose parts are made while it is read, texts as UTF-8. It breaks off if `parts` throws, and ends `parts` if its
 * reader leaves. It does what `ReadableStream.from` does, which TypeScript's own types and Cloudflare's do not have.
 *
 * ```ts
 * c.body(bodyOf(csvOf(session.stream(sql`select * from users`))))
 * ```
 */
export function bodyOf(parts: AsyncIterable<string | Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = parts[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(typeof value === "string" ? encoder.encode(value) : value);
    },
    async cancel(reason) {
      await iterator.return?.(reason);
    },
    // Nothing is read from the database before the first read of the body.
  }, { highWaterMark: 0 });
}
