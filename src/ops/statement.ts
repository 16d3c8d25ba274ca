/** Long enough to recognise a statement by. */
const MAX_LENGTH = 300;

/** Quoted names, which stay; strings in all their quotes; and numbers that are not part of a name or a parameter. */
const QUOTED_NAME = /"(?:[^"]|"")*"/;
const STRING = /\$(\w*)\$[\s\S]*?\$\1\$|[eE]'(?:[^'\\]|''|\\[\s\S])*'|'(?:[^']|'')*'/;
const NUMBER = /(?<![\w$."])\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)/;
const LITERALS = new RegExp(
  `${QUOTED_NAME.source}|${STRING.source}|${NUMBER.source}`,
  "g",
);

/**
 * A statement as logs, traces and people may see it. Values are sent apart from it; what somebody has written into
 * its text by hand is replaced by `?`.
 */
export function sanitised(text: string): string {
  const short = text.replace(LITERALS, (found) => found.startsWith('"') ? found : "?").replace(
    /\s+/g,
    " ",
  ).trim();
  return short.length > MAX_LENGTH ? `${short.slice(0, MAX_LENGTH)}…` : short;
}
