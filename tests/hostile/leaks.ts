/** What no answer and no line of a log may tell: secrets, SQL, stacks and places of the machine. */

const INSIDE = [
  /\n\s+at \S+/,
  /\bfile:\/\//,
  /\b[\w-]+\.[cm]?[jt]s:\d+/,
  /\bnode_modules\b/,
  /\bpostgres(?:ql)?:\/\//,
  /\bwss?:\/\//,
  /\bpg_\w+/,
  /\bselect\b.*\bfrom\b/is,
  /\binsert into\b/i,
  /\bupdate \w+ set\b/i,
  /\bset_config\b/,
  /\buser_(?:events|activity)\b/,
  /\bSQLSTATE\b/,
  /\bviolates \w+ constraint\b/,
  /\binvalid input syntax\b/,
  /\binvalid byte sequence\b/,
  /\brow-level security\b/,
];

/** What of it is in `text`; `others` are texts that must not be there either. */
export function leaksIn(text: string, others: readonly string[] = []): string[] {
  const found = INSIDE.flatMap((pattern) => pattern.exec(text)?.[0] ?? []);
  return [...found, ...others.filter((other) => text.includes(other))];
}
