import { DeadlineError } from "../../db/mod.ts";

export interface BodyHooks {
  /** Whether the body will be read at all. */
  readonly hasReader: boolean;
  readonly timeoutMs: number;
  /** Called if the body breaks off or is not read, before `onEnd`: work that it still waits for may stop. */
  onAbort(reason: unknown): void;
  /** Called when the body has ended or broken off. Must not reject, and must allow a second call. */
  onEnd(): Promise<void>;
}

/** The same response, with a body that calls the hooks. A body that is not finished after `timeoutMs` breaks off. */
export function trackBody(
  response: Response,
  { hasReader, timeoutMs, onAbort, onEnd }: BodyHooks,
): Response {
  const source = response.body?.getReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const abort = async (reason: unknown) => {
    onAbort(reason);
    clearTimeout(timer);
    // Not awaited: a source whose cancel never resolves must not keep the lease.
    source?.cancel(reason).catch(() => {});
    await onEnd();
  };
  if (source === undefined || !hasReader) {
    void abort("the body is not read");
    return source === undefined ? response : new Response(null, response);
  }
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      timer = setTimeout(() => {
        const error = new DeadlineError(`Cannot finish the body within ${timeoutMs} ms`);
        controller.error(error);
        void abort(error);
      }, timeoutMs);
    },
    async pull(controller) {
      try {
        const { done, value } = await source.read();
        if (!done) return controller.enqueue(value);
      } catch (error) {
        await abort(error);
        throw error;
      }
      clearTimeout(timer);
      await onEnd();
      controller.close();
    },
    cancel: abort,
  }, { highWaterMark: 0 });
  return new Response(body, response);
}
