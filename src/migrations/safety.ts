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
  /^create function /,
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

/** No insert of the running version can give it a value, and none needs to. */
const GENERATED_COLUMN = /^add column \S+ .* generated always as \(.*\) stored$/;

/** The fault of generated columns. */
const REWRITES = "it writes the table anew, and requests wait for it meanwhile";

const REPLACED_FUNCTION = /^create or replace function /;
const REPLACES = "the running version may need what the function returned before";

/** Faults of statements that a migration may have if it says in `reason` why. */
export const NEED_REASON: ReadonlySet<string> = new Set([REWRITES, REPLACES]);

const ROW_SECURITY = /^alter table (\S+) (?:enable|force) row level security$/;
const POLICY = /^create policy \S+ on (\S+) (.*)$/;

/** A unit of work of the running version, which sets no tenant, is one of `default`. */
const OF_DEFAULT = "coalesce(nullif(current_setting('app.tenant', true), ''), 'default')";

const NEW_TABLE = /^create table (?:if not exists )?(\S+)/;
const UNIQUE_INDEX = /^create unique index (\S+) on (\S+)/;
const DROPPED_INDEX = /^drop index (\S+)$/;
const RENAMED_INDEX = /^alter index (\S+) rename to (\S+)$/;

/**
 * Why the statement of a migration is not safe; undefined if it is. It judges by form, and takes every form that it does
 * not know for unsafe: a change that only looks unsafe belongs in a later release anyway. `migration` are all statements of
 * it, in which some are safe together.
 */
export function faultOf(
  statement: string,
  migration: readonly string[] = [statement],
): string | undefined {
  const text = foldedOf(statement);
  const all = migration.map(foldedOf);
  const isCreate = text.startsWith("create table ");
  const actions = isCreate ? [] : actionsOf(text);
  // One statement for several of them, which then write the table once.
  if (actions.length > 0 && actions.every((each) => GENERATED_COLUMN.test(each))) return REWRITES;
  if (REPLACED_FUNCTION.test(text)) return REPLACES;
  if (actions.length > 1) return "it has several actions; write one statement for each";
  if (isRowSecurity(text)) {
    return isSafeRowSecurity(text, all)
      ? undefined
      : "the running version sets no tenant, and no policy of its table lets that be default";
  }
  if (isIndexChange(text)) {
    return isSafeIndexChange(text, all)
      ? undefined
      : "the running version needs a unique index of that name, which one of the migration must get";
  }
  if (!isCreate && UNSAFE.test(text)) return "the running version may still need what it changes";
  const isSafe = SAFE.some((form) => form.test(text)) || isSafeColumn(text);
  return isSafe ? undefined : "its form is not known to be safe";
}

function foldedOf(statement: string): string {
  return statement
    .replace(/--[^\n]*/g, " ")
    .replace(/\/\*.*?\*\//gs, " ")
    .replace(/\s+/g, " ")
    .trim()
    .toLowerCase();
}

function isRowSecurity(text: string): boolean {
  return ROW_SECURITY.test(text) || POLICY.test(text);
}

/** The running version knows no table that the migration makes. In the others it must find what it finds today. */
function isSafeRowSecurity(text: string, all: readonly string[]): boolean {
  const table = (ROW_SECURITY.exec(text) ?? POLICY.exec(text))![1]!;
  if (all.some((each) => NEW_TABLE.exec(each)?.[1] === table)) return true;
  const policies = all.flatMap((each) => {
    const [, on, rule = ""] = POLICY.exec(each) ?? [];
    return on === table ? [rule] : [];
  });
  const parts = policies.flatMap((rule) => rule.split(" with check "));
  return parts.length > 0 && parts.every((part) => part.includes(OF_DEFAULT));
}

function isIndexChange(text: string): boolean {
  return UNIQUE_INDEX.test(text) || DROPPED_INDEX.test(text) || RENAMED_INDEX.test(text);
}

/**
 * A unique index may be replaced, under its name, by one that refuses no more: a violation of it is known by that name.
 * Whether it refuses no more, its form does not say: see README.md.
 */
function isSafeIndexChange(text: string, all: readonly string[]): boolean {
  const [, made, table] = UNIQUE_INDEX.exec(text) ?? [];
  if (all.some((each) => table !== undefined && NEW_TABLE.exec(each)?.[1] === table)) return true;
  return all.some((each) => {
    const [, from, to] = RENAMED_INDEX.exec(each) ?? [];
    const isWhole = from !== undefined && all.includes(`drop index ${to}`) &&
      all.some((other) => UNIQUE_INDEX.exec(other)?.[1] === from);
    return isWhole &&
      (made === from || text === each || DROPPED_INDEX.exec(text)?.[1] === to);
  });
}

/** Inserts of the running version leave the column out: they must get a default, or null, that no constraint refuses. */
function isSafeColumn(text: string): boolean {
  const [, definition] = NEW_COLUMN.exec(text) ?? [];
  if (definition === undefined || UNSAFE_IN_COLUMN.test(definition)) return false;
  const hasDefault = /\bdefault /.test(definition);
  return hasDefault ? !/\breferences /.test(definition) : !/\bnot null\b/.test(definition);
}

/** What an ALTER TABLE does. Commas inside parentheses do not separate actions. */
function actionsOf(text: string): string[] {
  const [, list] = /^alter table \S+ (.*)$/.exec(text) ?? [];
  if (list === undefined) return [];
  const actions = [""];
  let depth = 0;
  for (const char of list) {
    if (char === "(") depth++;
    else if (char === ")") depth--;
    if (char === "," && depth === 0) actions.push("");
    else actions[actions.length - 1] += char;
  }
  return actions.map((action) => action.trim());
}
