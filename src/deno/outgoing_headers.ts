/** The headers of a response that is done. To set one in those of the runtime, and to list it, costs twice 0.2 µs. */
import { madeOnDemand } from "./on_demand.ts";

/** A value that the runtime takes as it is. Of others it cuts off spaces at the ends, or refuses them. */
const PLAIN_VALUE = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;

/** `Headers` that keep apart what is added. When anything else is asked of them, it is set in those of the runtime. */
export class OutgoingHeaders {
  readonly #base: Headers;
  /** Names, in lower case, and values in turn. None of these names is in the base. */
  readonly #added: string[] = [];

  constructor(base: Headers) {
    this.#base = base;
  }

  get(name: string): string | null {
    const at = this.#indexOf(name);
    return at === -1 ? this.#base.get(name) : this.#added[at + 1]!;
  }

  has(name: string): boolean {
    return this.#indexOf(name) !== -1 || this.#base.has(name);
  }

  set(name: string, value: string): void {
    const at = this.#indexOf(name);
    const isPlain = typeof value === "string" && PLAIN_VALUE.test(value);
    // For what is no name, `has` throws.
    if (!isPlain || at === -1 && this.#base.has(name)) return this.made.set(name, value);
    if (at === -1) this.#added.push(name.toLowerCase(), value);
    else this.#added[at + 1] = value;
  }

  forEach(callback: (value: string, name: string, all: Headers) => void, self?: unknown): void {
    const all = this as unknown as Headers;
    this.#base.forEach((value, name) => callback.call(self, value, name, all));
    const added = [...this.#added];
    for (let at = 0; at < added.length; at += 2) {
      callback.call(self, added[at + 1]!, added[at]!, all);
    }
  }

  /** Those of the runtime, with all that was added. */
  get made(): Headers {
    const added = this.#added.splice(0);
    for (let at = 0; at < added.length; at += 2) this.#base.set(added[at]!, added[at + 1]!);
    return this.#base;
  }

  #indexOf(name: string): number {
    const key = String(name).toLowerCase();
    const added = this.#added;
    for (let at = 0; at < added.length; at += 2) if (added[at] === key) return at;
    return -1;
  }
}

madeOnDemand(OutgoingHeaders, Headers, (headers) => (headers as OutgoingHeaders).made);
