/** https://www.postgresql.org/docs/current/protocol-message-formats.html, CommandComplete */
const READING: ReadonlySet<string> = new Set([
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

/** Whether a command with this tag changes data. The tag does not show it for a SELECT over a function or a writing WITH. */
export function changesData(command: string): boolean {
  return !READING.has(command);
}
