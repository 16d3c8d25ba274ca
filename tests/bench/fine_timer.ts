/** Timers that ring within a quarter of a millisecond, since those of Deno ring up to two milliseconds late. */

interface Alarm {
  readonly atMs: number;
  readonly ring: () => void;
}

/** Alarms that are due within it ring together, so that many of them cost no more than so many wakes. */
export const TOGETHER_MS = 0.25;

/**
 * What a thread shares that sleeps for this one. Not by messages: each of those is memory outside of V8's heap, for which
 * V8 would collect garbage several times a second.
 */
export class Sleep {
  /** Counts what the thread was asked for, and how often it woke up. */
  static readonly ASKED = 0;
  static readonly WOKEN = 1;
  readonly counts: Int32Array;
  /** For how long the thread is to sleep. */
  readonly forMs: Float64Array;

  constructor(readonly memory = new SharedArrayBuffer(16)) {
    this.counts = new Int32Array(memory, 0, 2);
    this.forMs = new Float64Array(memory, 8, 1);
  }
}

export class FineTimer implements Disposable {
  readonly #thread: Worker;
  readonly #sleep: Sleep;
  /** The earliest first. */
  readonly #alarms: Alarm[] = [];
  #wakesAtMs = Infinity;

  private constructor(thread: Worker, sleep: Sleep) {
    this.#thread = thread;
    this.#sleep = sleep;
    void this.#listen();
  }

  static async start(): Promise<FineTimer> {
    const url = new URL("./fine_timer_worker.ts", import.meta.url);
    const thread = new Worker(url, { type: "module" });
    const sleep = new Sleep();
    await new Promise<void>((resolve, reject) => {
      thread.onmessage = () => resolve();
      thread.onerror = (event) => reject(new Error(`Cannot start a timer: ${event.message}`));
      thread.postMessage(sleep.memory);
    });
    return new FineTimer(thread, sleep);
  }

  after(delayMs: number, ring: () => void): void {
    const atMs = performance.now() + delayMs;
    let place = this.#alarms.length;
    while (place > 0 && this.#alarms[place - 1]!.atMs > atMs) place--;
    this.#alarms.splice(place, 0, { atMs, ring });
    if (atMs < this.#wakesAtMs) this.#ask();
  }

  [Symbol.dispose](): void {
    this.#thread.terminate();
  }

  /** To be woken for the first alarm. */
  #ask(): void {
    const nowMs = performance.now();
    this.#wakesAtMs = Math.max(this.#alarms[0]!.atMs, nowMs + TOGETHER_MS);
    const { counts, forMs } = this.#sleep;
    forMs[0] = this.#wakesAtMs - nowMs;
    Atomics.add(counts, Sleep.ASKED, 1);
    Atomics.notify(counts, Sleep.ASKED);
  }

  async #listen(): Promise<void> {
    const { counts } = this.#sleep;
    for (let woken = 0;;) {
      await Atomics.waitAsync(counts, Sleep.WOKEN, woken).value;
      // Before an alarm asks for the next wake.
      woken = Atomics.load(counts, Sleep.WOKEN);
      this.#ring();
    }
  }

  #ring(): void {
    this.#wakesAtMs = Infinity;
    const nowMs = performance.now();
    const later = this.#alarms.findIndex(({ atMs }) => atMs > nowMs);
    const due = this.#alarms.splice(0, later === -1 ? this.#alarms.length : later);
    for (const { ring } of due) ring();
    if (this.#alarms.length > 0) this.#ask();
  }
}
