export interface EventStreamOptions {
  /** Data of the events that are sent first, by event name. */
  readonly initialEvents?: Readonly<Record<string, unknown>>;
  /** Name of the events whose data `read` returns. */
  readonly name: string;
  readonly read: () => unknown;
  readonly intervalMs: number;
  /** Ends the stream. The browser's `EventSource` then reconnects by itself. */
  readonly signal?: AbortSignal | undefined;
  /** Called once when the stream ends. */
  readonly onEnd?: () => void;
}

export const EVENT_STREAM_HEADERS = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store",
} as const;

/**
 * Server-sent events: one at once, then one every `intervalMs` until the client disconnects. A client that does not
 * keep up misses events.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export function eventStream(
  { initialEvents = {}, name, read, intervalMs, signal, onEnd = () => {} }: EventStreamOptions,
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
      for (const [event, data] of Object.entries(initialEvents)) send(event, data);
      send(name, read());
      if (signal?.aborted) return close();
      signal?.addEventListener("abort", close, { once: true });
      timer = setInterval(() => {
        if ((controller.desiredSize ?? 0) > 0) send(name, read());
      }, intervalMs);
    },
    cancel: () => end(),
  }, { highWaterMark: 4 });
  return new Response(body, { headers: EVENT_STREAM_HEADERS });
}
