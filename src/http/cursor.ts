/**
 * The place in a list of users where the next page begins, as a text that only this service reads. A checksum tells a
 * damaged cursor, and one of a list with other filters. It is no secret: a client that makes up a
 * cursor gets a page of its own tenant's users, as with any other.
 */

import * as v from "valibot";
import { UserId } from "../users/user_id.ts";
import type { ListPosition, UserFilter } from "../users/user_list.ts";
import { ProblemError } from "./problem.ts";

/** Of what the bytes mean. Another version of the service may read others. */
const VERSION = 1;

/** Version and checksum, which come before the position. */
const HEAD_BYTES = 5;

/** The length of an id in text. What follows it is the position's key. */
const ID_LENGTH = 36;

/** Longer than the cursor after the longest name. */
const MAX_LENGTH = 1_500;

const ENCODING = { alphabet: "base64url" } as const;

const encoder = new TextEncoder();

export function encodeCursor({ id, key }: ListPosition, filter: UserFilter): string {
  const position = encoder.encode(id + key);
  const bytes = new Uint8Array(HEAD_BYTES + position.length);
  bytes.set(headOf(position, filter));
  bytes.set(position, HEAD_BYTES);
  return bytes.toBase64({ ...ENCODING, omitPadding: true });
}

/** Throws `ProblemError` (400) for a text that `encodeCursor` did not make of a position in a list with this filter. */
export function decodeCursor(cursor: string, filter: UserFilter): ListPosition {
  const bytes = bytesOf(cursor);
  const position = bytes.subarray(HEAD_BYTES);
  if (!headOf(position, filter).every((byte, index) => bytes[index] === byte)) throw unreadable();
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(position);
  const { success, output: id } = v.safeParse(UserId, text.slice(0, ID_LENGTH));
  const key = text.slice(ID_LENGTH);
  // True of every cursor that was made by a list; a client can make others.
  const isKey = filter.namePrefix === undefined ? /^\d{1,16}$/.test(key) : /^[^\0]+$/.test(key);
  if (!success || !isKey) throw unreadable();
  return { id, key };
}

/** Throws `ProblemError` (400). */
function bytesOf(cursor: string): Uint8Array {
  if (cursor.length > MAX_LENGTH) throw unreadable();
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.fromBase64(cursor, ENCODING);
  } catch {
    throw unreadable();
  }
  // Other texts stand for the same bytes: with padding, white space, or other bits at the end.
  if (bytes.toBase64({ ...ENCODING, omitPadding: true }) !== cursor) throw unreadable();
  return bytes;
}

/** The version, and the checksum of position and filter. */
function headOf(position: Uint8Array, { email, namePrefix }: UserFilter): Uint8Array {
  const filter = encoder.encode(JSON.stringify([email, namePrefix]));
  const head = new DataView(new ArrayBuffer(HEAD_BYTES));
  head.setUint8(0, VERSION);
  head.setUint32(1, fnv1a(filter, fnv1a(position)));
  return new Uint8Array(head.buffer);
}

/** http://www.isthe.com/chongo/tech/comp/fnv/index.html: any change of one byte changes it. */
function fnv1a(bytes: Uint8Array, start = 0x811c9dc5): number {
  let hash = start;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

function unreadable(): ProblemError {
  const detail = "it is damaged, of another version of the service, or of a list with other " +
    "filters; send `next` of the page before as it is, with the same filters, or start without it";
  return new ProblemError("malformed-request", {
    detail: `Cannot use the cursor as ${detail}`,
    errors: [{ parameter: "cursor", detail }],
  });
}
