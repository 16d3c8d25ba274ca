import { ManualClock } from "./manual_clock.ts";

/**
 * Replaces the global `setTimeout` by one on a manual clock, which each run of a property sets anew. The pool limits
 * Terminate and ROLLBACK by real timers, and ten thousand runs cannot wait for them.
 */
export class PoolTimers implements Disposable {
  clock = new ManualClock();
  readonly #real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };

  constructor() {
    const cancels = new Map<number, () => void>();
    let last = 0;
    const set = (callback: () => void, timeMs = 0) => {
      const id = ++last;
      cancels.set(
        id,
        this.clock.after(timeMs, () => {
          cancels.delete(id);
          callback();
        }),
      );
      return id;
    };
    const clear = (id: number) => {
      cancels.get(id)?.();
      cancels.delete(id);
    };
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
  }

  [Symbol.dispose](): void {
    Object.assign(globalThis, this.#real);
  }
}
