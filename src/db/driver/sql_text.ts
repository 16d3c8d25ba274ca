/** The parts of SQL text that are no code. https://www.postgresql.org/docs/current/sql-syntax-lexical.html */

/** Comments nest. Deeper than this they are not told from code. */
const COMMENT_DEPTH = 4;

function comment(depth: number): string {
  const inner = depth > 1 ? `|${comment(depth - 1)}` : "";
  return String.raw`\/\*(?:(?!\/\*|\*\/)[^]${inner})*\*\/`;
}

const COMMENT = String.raw`--[^\n\r]*(?:[\n\r]|$)|${comment(COMMENT_DEPTH)}`;

/** Source of a pattern for one space or comment. */
export const SPACE = String.raw`(?:\s|${COMMENT})`;

/** Comments and literals. A tag such as `$a$` is no part of a name or parameter. */
export const NO_CODE: RegExp = new RegExp(
  [
    COMMENT,
    String.raw`\be'(?:[^'\\]|\\[^]|'')*'`,
    String.raw`'(?:[^']|'')*'`,
    String.raw`"(?:[^"]|"")*"`,
    String.raw`(?<![\w$])\$((?:[^\d\s$'"][^\s$'"]*)?)\$[^]*?\$\1\$`,
  ].join("|"),
  "gi",
);

/** The text without comments and literals, in lower case. A quoted name becomes `"`. */
export function codeOf(text: string): string {
  return text.replace(NO_CODE, (token) => token.startsWith('"') ? ' " ' : " ").toLowerCase();
}
