/**
 * Which statements leave state on their connection that the end of the transaction does not remove. The next lease would
 * meet it, so that such a connection is closed.
 */
import type { FlightPart, Result } from "../driver/driver.ts";
import { codeOf } from "../driver/sql_text.ts";

/** `committed`: a rollback removes the state. `always`: it does not. */
type Lasts = "committed" | "always" | undefined;

type Rule = (text: string, result: Result) => Lasts;

/**
 * By the first word of the command tag. RESET, UNLISTEN, DEALLOCATE and DISCARD only remove state. What a function, a
 * procedure or a DO block leaves is shown by no tag.
 */
const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ["SET", (text) => SET_IN_TRANSACTION.test(codeOf(text)) ? undefined : "committed"],
  ["LISTEN", () => "committed"],
  ["DECLARE", (text) => /\bwith\s+hold\b/.test(codeOf(text)) ? "committed" : undefined],
  ["CREATE", makesTemporary],
  // CREATE TABLE AS and SELECT INTO have this tag too, and return no columns.
  ["SELECT", (text, { columns = [] }) => columns.length > 0 ? undefined : makesTemporary(text)],
  // With ANALYZE.
  ["EXPLAIN", makesTemporary],
  // Not undone by a rollback: https://www.postgresql.org/docs/current/sql-prepare.html, sql-load.html
  ["PREPARE", () => "always"],
  ["LOAD", () => "always"],
]);

/** A setting's own name can begin with one of these words and a dot. */
const SET_IN_TRANSACTION = /^[\s;]*set\s+(?:local|transaction|constraints)\b(?!\s*\.)/;

/** The INTO of INSERT and MERGE, also inside WITH, is not that of SELECT. */
const MAKES = String.raw`(?:\bcreate|(?<!\b(?:insert|merge)\s+)\binto)\b`;
const MAKES_RELATION = new RegExp(MAKES);
const MAKES_TEMPORARY = new RegExp(
  String.raw`${MAKES}(?:\s+(?:or\s+replace|local|global))*\s+temp(?:orary)?\b`,
);
const DROPS_ON_COMMIT = /\bon\s+commit\s+drop\b/;

/** Whether the statement makes a temporary table, view or sequence that lasts longer than the transaction. */
function makesTemporary(text: string): Lasts {
  // Most statements end here, at little cost.
  if (!/temp/i.test(text)) return undefined;
  const code = codeOf(text);
  // The rest of a comment that is nested too deep to be told from code.
  if (code.includes("*/")) return "committed";
  const isTemporary = MAKES_TEMPORARY.test(code) ||
    MAKES_RELATION.test(code) && /\bpg_temp/i.test(text);
  return isTemporary && !DROPS_ON_COMMIT.test(code) ? "committed" : undefined;
}

/** What the statements of one transaction have left on its connection. */
export class LastingState {
  /** Whether a commit leaves state. A rollback to a savepoint restores the value from before it. */
  ifCommitted = false;
  #always = false;

  /** Takes a statement that ran without an error. */
  note(part: FlightPart, result: Result): void {
    const lasts = "text" in part ? RULES.get(result.command)?.(part.text, result) : undefined;
    if (lasts !== undefined) this.ifCommitted = true;
    if (lasts === "always") this.#always = true;
  }

  remains({ isCommitted }: { isCommitted: boolean }): boolean {
    return this.#always || isCommitted && this.ifCommitted;
  }
}
