export interface EventStreamOptions {
  /** Sent first, by their names. */
  readonly first?: Readonly<Record<string, unknown>>;
  /** Of what `take` gives. */
  readonly name: string;
  readonly take: () => unknown;
  readonly everyMs: number;
  /** Ends the stream; its reader comes back by itself. */
  readonly signal?: AbortSignal | undefined;
  /** Called once, however it ends. */
  readonly onEnd?: () => void;
}

/**
 * Server-sent events: at once, and from time to time until the reader leaves. One who does not keep up misses some.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export function eventStream(
  { first = {}, name, take, everyMs, signal, onEnd = () => {} }: EventStreamOptions,
): Response {
  const encoder = new TextEncoder();
  let timer: ReturnType<typeof setInterval> | undefined;
  let end = () => {};
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const send = (event: string, data: unknown) =>
        controller.enqueue(encoder.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
      end = () => {
        clearInterval(timer);
        signal?.removeEventListener("abort", close);
        onEnd();
      };
      const close = () => {
        end();
        controller.close();
      };
      for (const [event, data] of Object.entries(first)) send(event, data);
      send(name, take());
      if (signal?.aborted) return close();
      signal?.addEventListener("abort", close, { once: true });
      timer = setInterval(() => {
        if ((controller.desiredSize ?? 0) > 0) send(name, take());
      }, everyMs);
    },
    cancel: () => end(),
  }, { highWaterMark: 4 });
  return new Response(body, {
    headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-store" },
  });
}
