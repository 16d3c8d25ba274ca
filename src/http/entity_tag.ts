/** Entity tags, and the conditions that a request makes of them. https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3 */

import { sha256 } from "../sha256.ts";
import type { ExpectedVersions } from "../users/user.ts";
import { ProblemError } from "./problem.ts";

/** The largest value of PostgreSQL's `integer`, the type of the version column. */
const MAX_VERSION = 2_147_483_647;

/** The tags of a header; `any` for `*`, which stands for whatever is current. */
export type EntityTags = readonly { readonly opaque: string; readonly isWeak: boolean }[] | "any";

/** A user's version as its tag. */
export function entityTag(version: number): string {
  return `"${version}"`;
}

/** The tag of a text: of another text it is another one. */
export async function textTag(text: string): Promise<string> {
  return `"${(await sha256(text)).slice(0, 32)}"`;
}

/** Throws `ProblemError` (400) for a malformed header. */
function entityTags(name: string, header: string): EntityTags {
  if (header.trim() === "*") return "any";
  const tags: { opaque: string; isWeak: boolean }[] = [];
  const tag = /[ \t]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)/y;
  while (tag.lastIndex < header.length) {
    const match = tag.exec(header);
    if (match === null) throw malformed(name);
    const [, weak, opaque = ""] = match;
    tags.push({ opaque, isWeak: weak !== undefined });
  }
  if (header === "") throw malformed(name);
  return tags;
}

/**
 * The versions that an `If-Match` header accepts. Weak tags, and tags that are not a version, match nothing, because
 * `If-Match` uses the strong comparison. Throws `ProblemError` (400) for a malformed header.
 */
export function expectedVersions(header: string | undefined): ExpectedVersions {
  if (header === undefined) return "any";
  const tags = entityTags("If-Match", header);
  if (tags === "any") return "any";
  return tags
    .filter(({ opaque, isWeak }) => !isWeak && /^[1-9]\d{0,9}$/.test(opaque))
    .map(({ opaque }) => Number(opaque))
    .filter((version) => version <= MAX_VERSION);
}

/** What the client of a GET has, by its `If-None-Match` header. Throws `ProblemError` (400) for a malformed header. */
export function knownTags(header: string | undefined): EntityTags {
  return header === undefined ? [] : entityTags("If-None-Match", header);
}

/**
 * Whether the client has what `tag` stands for, so that the answer is 304. By the weak comparison:
 * https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
 */
export function isKnown(known: EntityTags, tag: string): boolean {
  return known === "any" || known.some(({ opaque }) => `"${opaque}"` === tag);
}

function malformed(name: string): ProblemError {
  const detail =
    'it is not a list of entity tags; send the ETag of an earlier response, such as "3", with its quotes';
  return new ProblemError("malformed-request", {
    detail: `Cannot read ${name} as ${detail}`,
    errors: [{ header: name, detail }],
  });
}
