/** A node of a `WaiterQueue`, by which its value is removed in constant time. */
export interface QueueNode<T> {
  readonly value: T;
  previous: QueueNode<T> | undefined;
  next: QueueNode<T> | undefined;
  /** False once the node was removed. */
  isQueued: boolean;
  /** Whether the node is in the priority lane. */
  readonly isPriority: boolean;
}

/**
 * A doubly linked list in FIFO order with two lanes: the priority lane is ahead of the regular one. Removal takes
 * constant time anywhere in the queue, so that a waiter that gives up leaves at once.
 */
export class WaiterQueue<T> {
  #head: QueueNode<T> | undefined;
  #tail: QueueNode<T> | undefined;
  #lastPriority: QueueNode<T> | undefined;
  #size = 0;
  #prioritySize = 0;
  /** How many iterations are under way: each goes on from a node that was removed meanwhile. */
  #iterations = 0;

  /** Number of values in both lanes. */
  get size(): number {
    return this.#size;
  }

  /** Number of values in the priority lane. */
  get prioritySize(): number {
    return this.#prioritySize;
  }

  /** The oldest value of the priority lane; of the regular lane if the priority lane is empty. */
  get head(): T | undefined {
    return this.#head?.value;
  }

  /** The oldest value of the regular lane. */
  get regularHead(): T | undefined {
    return (this.#lastPriority === undefined ? this.#head : this.#lastPriority.next)?.value;
  }

  push(value: T): QueueNode<T> {
    return this.#insert({
      value,
      previous: this.#tail,
      next: undefined,
      isQueued: true,
      isPriority: false,
    });
  }

  /** Appends to the priority lane: for a caller whose leased connection has died. */
  pushPriority(value: T): QueueNode<T> {
    const previous = this.#lastPriority;
    const next = previous === undefined ? this.#head : previous.next;
    this.#prioritySize++;
    return this.#lastPriority = this.#insert({
      value,
      previous,
      next,
      isQueued: true,
      isPriority: true,
    });
  }

  /** Does nothing for a node that was removed before. */
  remove(node: QueueNode<T>): void {
    if (!node.isQueued) return;
    node.isQueued = false;
    if (node === this.#lastPriority) this.#lastPriority = node.previous;
    if (node.isPriority) this.#prioritySize--;
    this.#link(node.previous, node.next);
    this.#size--;
    // A removed node that V8 has moved to the old generation would keep alive all nodes that came after it.
    node.previous = undefined;
    if (this.#iterations === 0) node.next = undefined;
  }

  /** Does nothing if the queue is empty. */
  removeHead(): void {
    if (this.#head !== undefined) this.remove(this.#head);
  }

  /** In queue order. The caller may remove the current value while iterating. */
  *[Symbol.iterator](): Iterator<T> {
    this.#iterations++;
    try {
      for (let node = this.#head; node !== undefined; node = node.next) yield node.value;
    } finally {
      this.#iterations--;
    }
  }

  #insert(node: QueueNode<T>): QueueNode<T> {
    this.#link(node.previous, node);
    this.#link(node, node.next);
    this.#size++;
    return node;
  }

  #link(previous: QueueNode<T> | undefined, next: QueueNode<T> | undefined): void {
    if (previous === undefined) this.#head = next;
    else previous.next = next;
    if (next === undefined) this.#tail = previous;
    else next.previous = previous;
  }
}
