/**
 * A WebSocket without a network: it answers the n-th message sent to it with the n-th part of a recorded stream, which
 * may be several chunks.
 */
export class ReplayedWebSocket extends EventTarget {
  binaryType = "arraybuffer";
  readyState = 0;
  readonly #answers: readonly (readonly Uint8Array[])[];
  #sent = 0;

  constructor(answers: readonly (Uint8Array | readonly Uint8Array[])[]) {
    super();
    this.#answers = answers.map((answer) => answer instanceof Uint8Array ? [answer] : answer);
    queueMicrotask(() => this.#open());
  }

  send(_bytes: Uint8Array): void {
    for (const chunk of this.#answers[this.#sent++] ?? []) {
      if (chunk.length === 0) continue;
      queueMicrotask(() => {
        if (this.readyState !== 1) return;
        this.dispatchEvent(new MessageEvent("message", { data: chunk.slice().buffer }));
      });
    }
  }

  close(): void {
    if (this.readyState >= 2) return;
    this.readyState = 2;
    queueMicrotask(() => this.terminate());
  }

  /** Ends it at once, as if the other side had. */
  terminate(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dispatchEvent(new CloseEvent("close"));
  }

  #open(): void {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }
}
