/** With a byte order mark it is the value's own first character. Invalid UTF-8, as of SQL_ASCII databases, is replaced. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The text from `start` to `end`. */
export function readText(bytes: Uint8Array, start: number, end: number): string {
  return decoder.decode(bytes.subarray(start, end));
}

/** As `readText`, for a few bytes, which are mostly ASCII: a call of the decoder costs more than they do. */
export function readShortText(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < end; at++) {
    const code = bytes[at]!;
    if (code > 127) return readText(bytes, start, end);
    text += String.fromCharCode(code);
  }
  return text;
}

/** A longer row is read value by value: a part of its text would keep all of it in memory. */
const WHOLE_BYTES_MAX = 4_096;

/**
 * The bytes from `start` to `end` as a text in which each byte is one character, so that offsets stay the same;
 * `undefined` if they hold characters of several bytes. One call for a whole row costs a third of one for each value.
 */
export function readWhole(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start > WHOLE_BYTES_MAX) return undefined;
  const text = readText(bytes, start, end);
  // No character has more units in the text than bytes, so that equal lengths leave no room for one with fewer.
  return text.length === end - start ? text : undefined;
}
