/** Imports nothing. */

const encoder = new TextEncoder();

/** SHA-256 of the text in UTF-8, in lower-case hexadecimal. */
export async function sha256(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text))).toHex();
}
