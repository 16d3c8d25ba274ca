/** `JSON.parse` keeps the last of two equal keys in silence; other parsers keep the first. */

/** The tokens that matter: strings, with the colon that makes one a key, and brackets. */
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\]]/g;

/** The first key that an object of `json` has twice. `json` must be valid. */
export function duplicateKey(json: string): string | undefined {
  // One set of keys for every open object, `undefined` for every open array.
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
