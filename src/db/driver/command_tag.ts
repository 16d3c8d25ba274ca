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

/** Whether a command of this tag changes data. A SELECT over a function or a writing WITH does so unseen. */
export function changesData(command: string): boolean {
  return !READING.has(command);
}
