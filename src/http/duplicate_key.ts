/** Finds duplicate keys in JSON. `JSON.parse` keeps the last of two equal keys; other parsers keep the first. */

/** Matches strings, with the colon that makes one a key, and brackets. */
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\]]/g;

/** The first key that an object in `json` has twice. `json` must be valid JSON, and `value` what `JSON.parse` makes of it. */
export function duplicateKey(json: string, value: unknown): string | undefined {
  return countColons(json) === countKeys(value) ? undefined : search(json);
}

/** How many keys the text has: each is followed by the only kind of colon that is not inside a string. */
function countColons(json: string): number {
  let count = 0;
  let isInString = false;
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === 0x22) isInString = !isInString;
    else if (isInString) at += code === 0x5c ? 1 : 0;
    else if (code === 0x3a) count++;
  }
  return count;
}

/** How many keys the value has. It may be nested deeper than functions can call one another. */
function countKeys(value: unknown): number {
  let count = 0;
  const open = [value];
  for (let each = open.pop(); each !== undefined; each = open.pop()) {
    if (typeof each !== "object" || each === null) continue;
    const items: unknown[] = Object.values(each);
    if (!Array.isArray(each)) count += items.length;
    for (const item of items) open.push(item);
  }
  return count;
}

function search(json: string): string | undefined {
  // The keys seen in each open object; `undefined` for an open array.
  const open: (Set<string> | undefined)[] = [];
  for (const [token, text, colon] of json.matchAll(TOKEN)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (text !== undefined && colon !== undefined) {
      const key: string = JSON.parse(text);
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}
