/** The lines of a CSV file (https://www.rfc-editor.org/rfc/rfc4180), one chunk for each row. */
export async function* csvOf(
  header: readonly string[],
  rows: AsyncIterable<readonly unknown[]>,
): AsyncGenerator<string> {
  yield lineOf(header);
  for await (const row of rows) yield lineOf(row);
}

function lineOf(values: readonly unknown[]): string {
  return `${values.map((value) => fieldOf(String(value ?? ""))).join(",")}\r\n`;
}

function fieldOf(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
