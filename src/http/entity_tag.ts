/** A user's version as an entity tag. https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3 */

import type { ExpectedVersions } from "../users/user.ts";
import { ProblemError } from "./problem.ts";

/** The largest value of PostgreSQL's `integer`, the type of the version column. */
const MAX_VERSION = 2_147_483_647;

export function entityTag(version: number): string {
  return `"${version}"`;
}

/**
 * The versions that an `If-Match` header accepts. Weak tags, and tags that are not a version, match nothing, because
 * `If-Match` uses the strong comparison. Throws `ProblemError` (400) for a malformed header.
 */
export function expectedVersions(header: string | undefined): ExpectedVersions {
  if (header === undefined || header.trim() === "*") return "any";
  const versions: number[] = [];
  const tag = /[ \t]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)/y;
  while (tag.lastIndex < header.length) {
    const match = tag.exec(header);
    if (match === null) throw malformed();
    const [, weak, opaque = ""] = match;
    if (weak === undefined && /^[1-9]\d{0,9}$/.test(opaque)) versions.push(Number(opaque));
  }
  if (header === "") throw malformed();
  return versions.filter((version) => version <= MAX_VERSION);
}

function malformed(): ProblemError {
  const detail =
    'it is not a list of entity tags; send the ETag of an earlier response, such as "3", with its quotes';
  return new ProblemError("malformed-request", {
    detail: `Cannot read If-Match as ${detail}`,
    errors: [{ header: "If-Match", detail }],
  });
}
