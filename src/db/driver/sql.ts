import type { Statement } from "./driver.ts";

/** A statement, or a piece of one, whose rows have the shape `Row`. Made by `sql`. */
export class Sql<Row = Record<string, unknown>> implements Statement {
  /** Never set: it only carries the type. */
  declare readonly row: Row;
  /** Text between the values: always one more than there are values. */
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
 * Writes a statement. A value becomes a parameter, whatever it is; another `sql` is put in where it stands.
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

/** A table's or column's name that is only known at run time, quoted so that it can be nothing else. */
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

/** Text that is SQL already, such as a migration's. Never give it anything that came from outside. */
export function trustedSql<Row = Record<string, unknown>>(text: string): Sql<Row> {
  return new Sql([text], []);
}
