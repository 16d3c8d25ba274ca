/** Finds duplicate keys in JSON. `JSON.parse` keeps the last of two equal keys; other parsers keep the first. */

/** Matches strings, with the colon that makes one a key, and brackets. */
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\]]/g;

/** The first key that an object in `json` has twice. `json` must be valid JSON. */
export function duplicateKey(json: string): string | undefined {
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
