/** https://www.postgresql.org/docs/current/protocol-message-formats.html, CommandComplete */
const READ_ONLY_TAGS: ReadonlySet<string> = new Set([
  "",
  "BEGIN",
  "CLOSE",
  "COMMIT",
  "DECLARE",
  "EXPLAIN",
  "FETCH",
  "LOCK",
  "MOVE",
  "RELEASE",
  "ROLLBACK",
  "SAVEPOINT",
  "SELECT",
  "SET",
  "SHOW",
]);

/** Whether a command with this tag changes data. A tag of SELECT does not show that a function or a WITH clause wrote. */
export function changesData(command: string): boolean {
  return !READ_ONLY_TAGS.has(command);
}
