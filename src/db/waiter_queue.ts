/** A place in a `WaiterQueue`. */
export interface Place<T> {
  readonly waiter: T;
  ahead: Place<T> | undefined;
  behind: Place<T> | undefined;
  waiting: boolean;
}

/** First in, first out, and O(1) removal from anywhere, so that a waiter that gives up leaves at once. */
export class WaiterQueue<T> {
  #head: Place<T> | undefined;
  #tail: Place<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The one that has waited longest. */
  get head(): T | undefined {
    return this.#head?.waiter;
  }

  push(waiter: T): Place<T> {
    const place: Place<T> = { waiter, ahead: this.#tail, behind: undefined, waiting: true };
    if (this.#tail === undefined) this.#head = place;
    else this.#tail.behind = place;
    this.#tail = place;
    this.#size++;
    return place;
  }

  /** Harmless for a place that was left before. */
  remove(place: Place<T>): void {
    if (!place.waiting) return;
    place.waiting = false;
    if (place.ahead === undefined) this.#head = place.behind;
    else place.ahead.behind = place.behind;
    if (place.behind === undefined) this.#tail = place.ahead;
    else place.behind.ahead = place.ahead;
    this.#size--;
  }

  /** Oldest first. The current one may be removed while iterating. */
  *[Symbol.iterator](): Iterator<T> {
    for (let place = this.#head; place !== undefined; place = place.behind) yield place.waiter;
  }
}
