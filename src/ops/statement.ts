/** Enough to recognise a statement. */
const MAX_LENGTH = 300;

// Matched so that a quoted name is kept as it is.
const QUOTED_NAME = /"(?:[^"]|"")*"/;
const STRING = /\$(\w*)\$[\s\S]*?\$\1\$|[eE]'(?:[^'\\]|''|\\[\s\S])*'|'(?:[^']|'')*'/;
// Not a number within a name or a parameter.
const NUMBER = /(?<![\w$."])\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)/;
const LITERALS = new RegExp(
  `${QUOTED_NAME.source}|${STRING.source}|${NUMBER.source}`,
  "g",
);

/**
 * A statement's text for logs, traces and the pool page. Parameters are not part of the text. Literals that were
 * written into the text are replaced by `?`.
 */
export function sanitised(text: string): string {
  const short = text.replace(LITERALS, (found) => found.startsWith('"') ? found : "?").replace(
    /\s+/g,
    " ",
  ).trim();
  return short.length > MAX_LENGTH ? `${short.slice(0, MAX_LENGTH)}…` : short;
}
