/** What a process prints, from its first byte on. */
export class OutputLog {
  /** Resolves when the process has closed its output. */
  readonly end: Promise<void>;
  #text = "";
  #more = Promise.withResolvers<void>();
  #hasEnded = false;

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.end = this.#read(stream);
  }

  /** Resolves with the first match, as soon as it is printed. Throws if the process ends without one. */
  async match(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const more = this.#more.promise;
      const match = pattern.exec(this.#text);
      if (match !== null) return match;
      if (this.#hasEnded) throw new Error(`The process did not print ${pattern}: ${this.#text}`);
      await more;
    }
  }

  async #read(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
      this.#text += chunk;
      this.#notify();
    }
    this.#hasEnded = true;
    this.#notify();
  }

  #notify(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }
}
