/** A map that clients may fill, within a bound. Imports nothing. */

/** Holds at most `max` entries. The entry that was set longest ago is dropped for a further one. */
export class BoundedMap<Key, Value> extends Map<Key, Value> {
  readonly #max: number;

  constructor(max: number) {
    super();
    this.#max = max;
  }

  /** Also moves an entry that is there already to the end of the order. */
  override set(key: Key, value: Value): this {
    if (!this.delete(key) && this.size >= this.#max) this.delete(this.keys().next().value!);
    return super.set(key, value);
  }
}
