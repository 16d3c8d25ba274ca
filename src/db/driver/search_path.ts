/** Which statements change the tables that the names in later texts mean. */
import { SPACE } from "./sql_text.ts";

/** `$user` is a part of most search paths, so that the role counts too. */
const SETTINGS = "search_path|role|session_authorization";

const IS_SETTING = new RegExp(`^(?:${SETTINGS})$`, "i");

const SETS = new RegExp(
  `^(?:${SPACE}|;)*(?:set|reset)\\b[^]*\\b(?:${SETTINGS}|schema|authorization|all)\\b|` +
    // Also where the name of the setting is a parameter.
    `\\bset_config\\s*\\(\\s*(?:\\$\\d|'(?:${SETTINGS})')`,
  "i",
);

const SETS_LOCALLY = new RegExp(`^(?:${SPACE}|;)*set${SPACE}+local\\b|,\\s*true\\s*\\)`, "i");

const SETS_LASTINGLY = /,\s*false\s*\)/i;

/**
 * The part of a transaction's settings that decides what names mean, as a text that is the same for those that decide it
 * alike; `undefined` where none does.
 */
export function searchPathOf(locals: Readonly<Record<string, string>>): string | undefined {
  const entries = Object.entries(locals).filter(([name]) => IS_SETTING.test(name));
  return entries.length === 0 ? undefined : JSON.stringify(entries);
}

/** How long a search path, or a role, lasts that the text sets by its own words; `undefined` if it sets none. */
export function setsSearchPath(text: string): "transaction" | "session" | undefined {
  if (!SETS.test(text)) return undefined;
  return SETS_LOCALLY.test(text) && !SETS_LASTINGLY.test(text) ? "transaction" : "session";
}
