/** Several statements in one text, which node-postgres sends by the simple protocol if there are no values. */
import { codeOf, NO_CODE } from "../../db/driver/sql_text.ts";

/** Comments and literals come first, so that no semicolon in them counts. */
const TOKEN = new RegExp(`${NO_CODE.source}|[();]|[a-z_][\\w$]*`, "gi");

const ROUTINE = /^create (?:or replace )?(?:function|procedure)\b/;

/**
 * Splits at semicolons, as psql does: not in parentheses (CREATE RULE), and not in the body of a routine in standard SQL
 * (BEGIN ATOMIC … END). Statements without code are left out, unless there is no other.
 * https://www.postgresql.org/docs/current/sql-createfunction.html
 */
export function splitStatements(text: string): string[] {
  // Most texts end here, at little cost.
  if (!/;\s*\S/.test(text)) return [text];
  const statements: string[] = [];
  let [start, parentheses, blocks] = [0, 0, 0];
  let words: string[] = [];
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    const word = token.toLowerCase();
    if (word === "(") parentheses++;
    else if (word === ")") parentheses--;
    else if (word === ";") {
      if (parentheses > 0 || blocks > 0) continue;
      statements.push(text.slice(start, index));
      [start, parentheses, words] = [index + 1, 0, []];
    } else if (/^[a-z_]/.test(word) && !word.endsWith("'")) {
      if (words.length < 4) words.push(word);
      if (parentheses === 0 && ROUTINE.test(words.join(" "))) blocks += depthOf(word, blocks);
    }
  }
  statements.push(text.slice(start));
  const withCode = statements.filter((statement) => codeOf(statement).trim() !== "");
  return withCode.length === 0 ? [text] : withCode;
}

/** How much deeper the word leads into the body of a routine. */
function depthOf(word: string, blocks: number): number {
  if (word === "begin" || word === "case" && blocks > 0) return 1;
  return word === "end" && blocks > 0 ? -1 : 0;
}
