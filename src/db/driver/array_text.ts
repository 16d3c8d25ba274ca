import type { Parse } from "./type_parsers.ts";

/**
 * Makes a parser for arrays from the parser of their items. Nested arrays stay nested, NULL becomes `null`. It
 * throws `TypeError` for a text that ends before the closing brace.
 * https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
 */
export function arrayOf(parseItem: Parse): Parse {
  return (text) => {
    // Bounds that do not begin at 1 precede the array: `[0:1]={a,b}`.
    const reader = new ArrayReader(text, { from: text.indexOf("{"), parseItem });
    return reader.array();
  };
}

class ArrayReader {
  readonly #text: string;
  readonly #parseItem: Parse;
  #at: number;

  constructor(text: string, { from, parseItem }: { from: number; parseItem: Parse }) {
    this.#text = text;
    this.#parseItem = parseItem;
    this.#at = from;
  }

  array(): unknown[] {
    const items: unknown[] = [];
    do {
      // Skips the brace or the comma.
      this.#at++;
      if (this.#text[this.#at] === "}") break;
      items.push(this.#text[this.#at] === "{" ? this.array() : this.#item());
    } while (this.#text[this.#at] === ",");
    if (this.#text[this.#at++] !== "}") {
      throw new TypeError(`Cannot read the array as it has no end: current value is ${this.#text}`);
    }
    return items;
  }

  #item(): unknown {
    if (this.#text[this.#at] === '"') return this.#parseItem(this.#quoted());
    const from = this.#at;
    while (this.#at < this.#text.length && !",}".includes(this.#text[this.#at]!)) this.#at++;
    const text = this.#text.slice(from, this.#at);
    return text === "NULL" ? null : this.#parseItem(text);
  }

  #quoted(): string {
    let text = "";
    let from = ++this.#at;
    for (; this.#at < this.#text.length && this.#text[this.#at] !== '"'; this.#at++) {
      if (this.#text[this.#at] !== "\\") continue;
      text += this.#text.slice(from, this.#at);
      from = ++this.#at;
    }
    return text + this.#text.slice(from, this.#at++);
  }
}
