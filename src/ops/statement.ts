/** Long enough to recognise a statement by. */
const MAX_LENGTH = 300;

/** Strings in all their quotes, and numbers that are not part of a name or a parameter. */
const LITERALS =
  /\$(\w*)\$[\s\S]*?\$\1\$|[eE]?'(?:[^'\\]|''|\\.)*'|(?<![\w$."])\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)/g;

/**
 * A statement as logs, traces and people may see it. Values are sent apart from it; what somebody has written into
 * its text by hand is replaced by `?`.
 */
export function sanitised(text: string): string {
  const short = text.replace(LITERALS, "?").replace(/\s+/g, " ").trim();
  return short.length > MAX_LENGTH ? `${short.slice(0, MAX_LENGTH)}…` : short;
}
