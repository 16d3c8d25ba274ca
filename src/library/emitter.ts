/** The part of Node's EventEmitter that libraries use on a pool or client. Workers have no `node:events`. */

/** Is called with what the event brings. */
// deno-lint-ignore no-explicit-any -- as in Node's declarations: each event has its own arguments
export type Listener = (...args: any[]) => void;

interface Registration {
  readonly listener: Listener;
  readonly once: boolean;
}

export class Emitter {
  readonly #registrations = new Map<string | symbol, readonly Registration[]>();

  on(event: string | symbol, listener: Listener): this {
    return this.#add(event, { listener, once: false });
  }

  once(event: string | symbol, listener: Listener): this {
    return this.#add(event, { listener, once: true });
  }

  addListener(event: string | symbol, listener: Listener): this {
    return this.on(event, listener);
  }

  /** Removes the newest registration of the listener. */
  off(event: string | symbol, listener: Listener): this {
    const all = this.#of(event);
    const index = all.findLastIndex((each) => each.listener === listener);
    if (index !== -1) this.#registrations.set(event, all.toSpliced(index, 1));
    return this;
  }

  removeListener(event: string | symbol, listener: Listener): this {
    return this.off(event, listener);
  }

  removeAllListeners(event?: string | symbol): this {
    if (event === undefined) this.#registrations.clear();
    else this.#registrations.delete(event);
    return this;
  }

  listenerCount(event: string | symbol): number {
    return this.#of(event).length;
  }

  /** There is no limit. Libraries that raise Node's call it. */
  setMaxListeners(_count: number): this {
    return this;
  }

  /** Returns whether there was a listener. Unlike Node's, an `error` without one does not throw. */
  emit(event: string | symbol, ...args: readonly unknown[]): boolean {
    const all = this.#of(event);
    for (const { listener, once } of all) {
      if (once) this.off(event, listener);
      listener.apply(this, [...args]);
    }
    return all.length > 0;
  }

  #of(event: string | symbol): readonly Registration[] {
    return this.#registrations.get(event) ?? [];
  }

  #add(event: string | symbol, registration: Registration): this {
    this.#registrations.set(event, [...this.#of(event), registration]);
    return this;
  }
}
