import type { Statement } from "./driver.ts";
import { kindOf } from "./json_value.ts";

/** A statement, or a part of one, whose rows have the type `Row`. Made by `sql`. */
export class Sql<Row = Record<string, unknown>> implements Statement {
  /** Never set: it only carries the type of the rows. */
  declare readonly row: Row;
  /** Text between the values: one part more than there are values. */
  readonly parts: readonly string[];
  readonly values: readonly unknown[];

  constructor(parts: readonly string[], values: readonly unknown[]) {
    this.parts = parts;
    this.values = values;
  }

  /** With `$1`, `$2`, … where the values go. */
  get text(): string {
    return this.parts.reduce((text, part, index) => `${text}$${index}${part}`);
  }
}

/**
 * Makes a statement. Each value becomes a parameter. A nested `sql` becomes part of the text, with its own parameters.
 *
 * ```ts
 * const recent = sql`created_at > ${since}`;
 * const users = await session.query(sql<User>`select * from users where ${recent} and name = ${name}`);
 * ```
 */
export function sql<Row = Record<string, unknown>>(
  strings: TemplateStringsArray,
  ...inserts: unknown[]
): Sql<Row> {
  // Plain JavaScript can call it as a function, with a text.
  if (!Array.isArray(strings) || !("raw" in strings)) {
    throw new TypeError(
      `Cannot make a statement as sql was called as a function: current type is ${
        kindOf(strings)
      }; write sql\`…\`, ` +
        "or trustedSql(text) for a text that is SQL already",
    );
  }
  const parts = [strings[0]!];
  const values: unknown[] = [];
  inserts.forEach((insert, index) => {
    const after = strings[index + 1]!;
    if (insert instanceof Sql) {
      parts[parts.length - 1] += insert.parts[0]!;
      parts.push(...insert.parts.slice(1));
      parts[parts.length - 1] += after;
      values.push(...insert.values);
    } else {
      parts.push(after);
      values.push(insert);
    }
  });
  return new Sql(parts, values);
}

/** The name of a table or column that is known only at run time, quoted. Throws `TypeError` for an empty name and for NUL. */
export function identifier(name: string): Sql {
  if (name === "" || name.includes("\0")) {
    throw new TypeError(
      `Cannot quote an identifier as it is empty or contains NUL: current value is ${
        JSON.stringify(name)
      }`,
    );
  }
  return new Sql([`"${name.replaceAll('"', '""')}"`], []);
}

/** A statement from text that is SQL already, such as a migration's. Do not pass text that came from a client. */
export function trustedSql<Row = Record<string, unknown>>(text: string): Sql<Row> {
  return new Sql([text], []);
}

/** Throws `TypeError` for anything but a statement, which plain JavaScript can pass. The text is not named. */
export function assertStatement(statement: unknown): void {
  if (typeof statement === "object" && statement !== null) {
    const { text, values } = statement as Partial<Statement>;
    if (typeof text === "string" && Array.isArray(values)) return;
  }
  throw new TypeError(
    `Cannot run the statement as it was not made by sql: current type is ${kindOf(statement)}; ` +
      "pass sql`…`, or trustedSql(text) for a text that is SQL already",
  );
}

/** Throws `TypeError` for anything but an array of statements. */
export function assertStatements(statements: unknown): void {
  if (!Array.isArray(statements)) {
    throw new TypeError(
      `Cannot run the statements as they are not in an array: current type is ${
        kindOf(statements)
      }; ` +
        "pass [sql`…`]",
    );
  }
  for (const statement of statements) assertStatement(statement);
}
