/** Reads a child process's output line by line. Each wait is bounded. */
export class LineReader {
  readonly #reader: ReadableStreamDefaultReader<string>;
  /** The output so far. */
  text = "";
  readonly #timeoutMs: number;
  #read = 0;

  constructor(
    stream: ReadableStream<Uint8Array<ArrayBuffer>>,
    { timeoutMs = 30_000 }: { timeoutMs?: number } = {},
  ) {
    this.#timeoutMs = timeoutMs;
    this.#reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The next line that matches. Rejects if the output ends before it, or after `timeoutMs`. */
  async next(pattern: RegExp): Promise<string> {
    const timer = setTimeout(() => this.#reader.cancel(), this.#timeoutMs);
    try {
      for (;;) {
        for (let end; (end = this.text.indexOf("\n", this.#read)) !== -1;) {
          const line = this.text.slice(this.#read, end);
          this.#read = end + 1;
          if (pattern.test(line)) return line;
        }
        const { done, value } = await this.#reader.read();
        if (done) throw new Error(`no line matches ${pattern}; the output was:\n${this.text}`);
        this.text += value;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** The whole output, after it has ended. */
  async rest(): Promise<string> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return this.text;
      this.text += value;
    }
  }
}
