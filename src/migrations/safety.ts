/** Which statements of a migration are safe for the version of the service that runs while they are applied. */

/** What no running version can notice. One action for each statement, so that each can be judged. */
const SAFE: readonly RegExp[] = [
  /^create table (?!.* (?:as|inherits|partition of) )/,
  // All migrations are one transaction, in which no index can be made concurrently.
  /^create index (?!concurrently )/,
  // Existing rows are not checked. Rows of the running version are, so that it must write no others: see README.md.
  /^alter table \S+ add constraint \S+ .* not valid$/,
  /^alter table \S+ validate constraint \S+$/,
  /^alter table \S+ alter (?:column )?\S+ (?:set default |drop not null$)/,
  /^grant /,
  /^comment on /,
];

/** A new column, and what follows its name. */
const NEW_COLUMN =
  /^alter table \S+ add (?:column )?(?:if not exists )?(?!constraint|check|unique|primary|foreign|exclude)\S+ (.*)$/;

/** Each insert of the running version would write the same default, or null, and the table might be rewritten. */
const UNSAFE_IN_COLUMN = /\b(?:unique|primary key|check|generated|default null)\b/;

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
  const isSafe = SAFE.some((form) => form.test(text)) || isSafeColumn(text);
  return isSafe ? undefined : "its form is not known to be safe";
}

/** Inserts of the running version leave the column out: they must get a default, or null, that no constraint refuses. */
function isSafeColumn(text: string): boolean {
  const [, definition] = NEW_COLUMN.exec(text) ?? [];
  if (definition === undefined || UNSAFE_IN_COLUMN.test(definition)) return false;
  const hasDefault = /\bdefault /.test(definition);
  return hasDefault ? !/\breferences /.test(definition) : !/\bnot null\b/.test(definition);
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
