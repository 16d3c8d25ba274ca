import { completesWithin } from "../../src/db/time/timeout.ts";

/** The lines that a workerd writes to its standard error. */
export class WorkerdLog {
  readonly #lines: string[] = [];
  readonly #listeners = new Set<(line: string) => void>();
  readonly #uncaught: string[] = [];

  get text(): string {
    return this.#lines.join("\n");
  }

  /** Resolves at the end of the stream. */
  async read(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    let rest = "";
    for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      lines.forEach((line) => this.#add(line));
    }
    if (rest !== "") this.#add(rest);
  }

  takeUncaught(): string[] {
    return this.#uncaught.splice(0);
  }

  /** Resolves once a line with this text has been read. */
  async seen(text: string, timeoutMs: number): Promise<void> {
    if (this.#lines.some((line) => line.includes(text))) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const listener = (line: string) => line.includes(text) && resolve();
    this.#listeners.add(listener);
    try {
      if (await completesWithin(promise, timeoutMs)) return;
      throw new Error(`Cannot find ${JSON.stringify(text)} in the log within ${timeoutMs} ms`);
    } finally {
      this.#listeners.delete(listener);
    }
  }

  #add(line: string): void {
    this.#lines.push(line);
    if (isUncaught(line)) this.#uncaught.push(line);
    for (const listener of this.#listeners) listener(line);
  }
}

const UNHANDLED = "unhandled rejection: ";

/** Code to run before the Worker's own module, since workerd itself logs no unhandled rejection. */
export const LOG_REJECTIONS = `addEventListener("unhandledrejection", ({ reason }) => {
  console.error(${JSON.stringify(UNHANDLED)} + String(reason?.stack ?? reason));
});`;

/**
 * workerd warns of a promise that one request resolves for another, and may drop what waits for it:
 * https://developers.cloudflare.com/workers/observability/errors/#cross-request-promise-resolve
 */
export const FOREIGN_PROMISE = "resolved or rejected from a different request context";

function isUncaught(line: string): boolean {
  if (line.includes(UNHANDLED) || line.includes(FOREIGN_PROMISE)) return true;
  // workerd logs a WebSocket that cannot connect even if an `error` listener is there. That entry has no stack.
  return line.includes("uncaught exception; source = ") &&
    !line.endsWith("stack = Error: Network connection lost.");
}
