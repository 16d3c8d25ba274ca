/** Which statements of a migration are safe for the version of the service that runs while they are applied. */

/** What no running version can notice. One action for each statement, so that each can be judged. */
const SAFE: readonly RegExp[] = [
  /^create table (?!.* as )/,
  /^create index /,
  // A default, which may be an expression, or no constraint at all: inserts of the running version leave the column out.
  /^alter table \S+ add (?:column )?(?!constraint|check|unique|primary|foreign|exclude)\S+ (?!.*not null)/,
  /^alter table \S+ add (?:column )?(?!constraint|check|unique|primary|foreign|exclude)\S+ .*not null default /,
  /^alter table \S+ add (?:column )?(?!constraint|check|unique|primary|foreign|exclude)\S+ .*default .*not null/,
  // Existing rows are not checked. Rows of the running version are, so that it must write no others: see README.md.
  /^alter table \S+ add constraint \S+ .* not valid$/,
  /^alter table \S+ validate constraint \S+$/,
  /^alter table \S+ alter (?:column )?\S+ (?:set default |drop not null$)/,
  /^grant /,
  /^comment on /,
];

/** Constraints and objects that a new table of its own may have, and an old table may not get. */
const UNSAFE = /\b(?:drop (?!not null)|rename |unique index|truncate |set not null|type )/;

/**
 * Why a statement is not safe; undefined if it is. It judges by form, and takes every form that it does not know for
 * unsafe: a change that only looks unsafe belongs in a later release anyway.
 */
export function faultOf(statement: string): string | undefined {
  const text = statement
    .replace(/--[^\n]*/g, " ")
    .replace(/\/\*.*?\*\//gs, " ")
    .replace(/\s+/g, " ")
    .trim()
    .toLowerCase();
  const isCreate = text.startsWith("create table ");
  const hasActions = !isCreate && /^alter table/.test(text) && actionsOf(text) > 1;
  if (hasActions) return "it has several actions; write one statement for each";
  if (!isCreate && UNSAFE.test(text)) return "the running version may still need what it changes";
  if (!SAFE.some((form) => form.test(text))) return "its form is not known to be safe";
  return undefined;
}

/** Commas inside parentheses do not separate actions. */
function actionsOf(text: string): number {
  let depth = 0;
  let actions = 1;
  for (const char of text) {
    if (char === "(") depth++;
    else if (char === ")") depth--;
    else if (char === "," && depth === 0) actions++;
  }
  return actions;
}
