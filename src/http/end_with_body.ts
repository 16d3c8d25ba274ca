import { DeadlineError } from "../db/mod.ts";

export interface BodyEnd {
  /** Whether anybody will read the body. */
  readonly isWanted: boolean;
  readonly timeoutMs: number;
  /** The body broke off: what it still waits for may stop. */
  onGiveUp(reason: unknown): void;
  /** However it ended, once. Must not reject. */
  onEnd(): Promise<void>;
}

/** The same response, whose body ends what it was made from. One that is never finished breaks off after `timeoutMs`. */
export function endWithBody(
  response: Response,
  { isWanted, timeoutMs, onGiveUp, onEnd }: BodyEnd,
): Response {
  const source = response.body?.getReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const giveUp = async (reason: unknown) => {
    onGiveUp(reason);
    clearTimeout(timer);
    // A source that does not let go must not keep the lease.
    source?.cancel(reason).catch(() => {});
    await onEnd();
  };
  if (source === undefined || !isWanted) {
    void giveUp("nobody reads the body");
    return source === undefined ? response : new Response(null, response);
  }
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      timer = setTimeout(() => {
        const error = new DeadlineError(`Cannot finish the body within ${timeoutMs} ms`);
        controller.error(error);
        void giveUp(error);
      }, timeoutMs);
    },
    async pull(controller) {
      try {
        const { done, value } = await source.read();
        if (!done) return controller.enqueue(value);
      } catch (error) {
        await giveUp(error);
        throw error;
      }
      clearTimeout(timer);
      await onEnd();
      controller.close();
    },
    cancel: giveUp,
  }, { highWaterMark: 0 });
  return new Response(body, response);
}
