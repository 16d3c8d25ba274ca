/** The heap while a run goes on, after a full collection each time. */

/** Medians, in bytes. */
export interface HeapQuarters {
  readonly first: number;
  readonly last: number;
}

/** Absent without `--v8-flags=--expose-gc`. */
const collect = (globalThis as { gc?: () => void }).gc;

export class HeapSamples {
  static readonly isPossible = collect !== undefined;

  readonly #bytes: number[] = [];

  take(): void {
    collect?.();
    this.#bytes.push(Deno.memoryUsage().heapUsed);
  }

  /** Of the first and the last quarter of the samples; nothing where none could be taken. */
  quarters(): HeapQuarters | undefined {
    const quarter = Math.floor(this.#bytes.length / 4);
    if (!HeapSamples.isPossible || quarter === 0) return undefined;
    return {
      first: median(this.#bytes.slice(0, quarter)),
      last: median(this.#bytes.slice(-quarter)),
    };
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)]!;
}
