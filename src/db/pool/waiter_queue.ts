/** A place in a `WaiterQueue`. */
export interface QueueNode<T> {
  readonly waiter: T;
  ahead: QueueNode<T> | undefined;
  behind: QueueNode<T> | undefined;
  isQueued: boolean;
  readonly isAhead: boolean;
}

/** First in, first out, in two lanes of which the first goes ahead of the second; and O(1) removal from anywhere, so that a waiter that gives up leaves at once. */
export class WaiterQueue<T> {
  #head: QueueNode<T> | undefined;
  #tail: QueueNode<T> | undefined;
  /** The last one of the lane that goes ahead. */
  #lastAhead: QueueNode<T> | undefined;
  #size = 0;
  #aheadSize = 0;

  get size(): number {
    return this.#size;
  }

  /** Of the lane that goes ahead. */
  get aheadSize(): number {
    return this.#aheadSize;
  }

  /** The one whose turn is next. */
  get head(): T | undefined {
    return this.#head?.waiter;
  }

  /** The first one of those who do not go ahead. */
  get headBehind(): T | undefined {
    return (this.#lastAhead === undefined ? this.#head : this.#lastAhead.behind)?.waiter;
  }

  push(waiter: T): QueueNode<T> {
    return this.#put(waiter, { ahead: this.#tail, behind: undefined, isAhead: false });
  }

  /** For one that has had its turn already, in vain: behind others like it, ahead of all the rest. */
  pushAhead(waiter: T): QueueNode<T> {
    const ahead = this.#lastAhead;
    const behind = ahead === undefined ? this.#head : ahead.behind;
    this.#aheadSize++;
    return this.#lastAhead = this.#put(waiter, { ahead, behind, isAhead: true });
  }

  /** Harmless for a place that was left before. */
  remove(place: QueueNode<T>): void {
    if (!place.isQueued) return;
    place.isQueued = false;
    if (place === this.#lastAhead) this.#lastAhead = place.ahead;
    if (place.isAhead) this.#aheadSize--;
    this.#join(place.ahead, place.behind);
    this.#size--;
  }

  /** Harmless if there is none. */
  removeHead(): void {
    if (this.#head !== undefined) this.remove(this.#head);
  }

  /** In their turn. The current one may be removed while iterating. */
  *[Symbol.iterator](): Iterator<T> {
    for (let place = this.#head; place !== undefined; place = place.behind) yield place.waiter;
  }

  #put(
    waiter: T,
    { ahead, behind, isAhead }: Pick<QueueNode<T>, "ahead" | "behind" | "isAhead">,
  ): QueueNode<T> {
    const place: QueueNode<T> = { waiter, ahead, behind, isQueued: true, isAhead };
    this.#join(ahead, place);
    this.#join(place, behind);
    this.#size++;
    return place;
  }

  #join(ahead: QueueNode<T> | undefined, behind: QueueNode<T> | undefined): void {
    if (ahead === undefined) this.#head = behind;
    else ahead.behind = behind;
    if (behind === undefined) this.#tail = ahead;
    else behind.ahead = ahead;
  }
}
