import type { Statement } from "./driver.ts";
import { json as toJson, type JsonValue, kindOf } from "./json_value.ts";

/** A statement, or a part of one, whose rows have the type `Row`. Made by `sql`. */
export class Sql<Row = Record<string, unknown>> implements Statement {
  /** Never set: it only carries the type of the rows. */
  declare readonly row: Row;
  /** Text between the values: one part more than there are values. */
  readonly parts: readonly string[];
  /** The parameters, in their order. */
  readonly values: readonly unknown[];
  /** See `Statement.prepare`. */
  readonly prepare: false | undefined;
  #text: string | undefined;

  /** @internal Use `sql`, or `trustedSql` for a text. */
  constructor(
    parts: readonly string[],
    values: readonly unknown[],
    { prepare, like }: {
      readonly prepare?: false | undefined;
      /** A statement with the same parts. */
      readonly like?: Sql<unknown> | undefined;
    } = {},
  ) {
    this.parts = parts;
    this.values = values;
    this.prepare = prepare;
    this.#text = like?.text;
  }

  /**
   * The same statement, which is never sent as a prepared one: the server plans it for its values each time. That costs
   * more, and pays where a plan for any values is bad for some. A statement that it is put into loses the option.
   */
  with({ prepare }: { readonly prepare: false }): Sql<Row> {
    return new Sql(this.parts, this.values, { prepare });
  }

  /** With `$1`, `$2`, … where the values go. */
  get text(): string {
    return this.#text ??= this.parts.reduce((text, part, index) => `${text}$${index}${part}`);
  }
}

/** A statement whose text has its `$1`, `$2`, … already. */
class NumberedSql<Row> extends Sql<Row> {
  constructor(
    text: string,
    values: readonly unknown[],
    options?: { readonly prepare?: false | undefined },
  ) {
    super([text], values, options);
  }

  override with(options: { readonly prepare: false }): Sql<Row> {
    return new NumberedSql(this.text, this.values, options);
  }

  override get text(): string {
    return this.parts[0]!;
  }
}

/** A statement while it is put together, in time that is linear in its size. */
class SqlBuilder {
  readonly #parts: string[] = [""];
  readonly #values: unknown[] = [];

  add(insert: unknown): void {
    if (!(insert instanceof Sql)) {
      this.#values.push(insert);
      this.#parts.push("");
      return;
    }
    if (insert instanceof NumberedSql) {
      throw new TypeError(
        "Cannot put the statement into another one as its parameters are numbered already; " +
          "run it alone, or write it as sql`…`",
      );
    }
    insert.parts.forEach((part, index) => {
      if (index > 0) this.add(insert.values[index - 1]);
      this.addText(part);
    });
  }

  addText(text: string): void {
    this.#parts[this.#parts.length - 1] += text;
  }

  build<Row>(): Sql<Row> {
    return new Sql(this.#parts, this.#values);
  }
}

/** By the place in the code where they are written. */
const templates = new WeakMap<TemplateStringsArray, Template>();

/** Statements that differ in their values only. They share one text, of which much is known once it has been sent. */
class Template {
  readonly #statement: Sql<unknown>;
  /** The statements that are part of them, each where a value may be. */
  readonly #nested: readonly (Sql<unknown> | undefined)[];

  constructor(statement: Sql<unknown>, inserts: readonly unknown[]) {
    this.#statement = statement;
    this.#nested = inserts.map((insert) => insert instanceof Sql ? insert : undefined);
  }

  /** `undefined` if other statements are to be part of it. */
  fill<Row>(inserts: readonly unknown[]): Sql<Row> | undefined {
    const nested = this.#nested;
    if (inserts.length !== nested.length) return undefined;
    const values: unknown[] = [];
    for (let index = 0; index < nested.length; index++) {
      const insert = inserts[index];
      if (!(insert instanceof Sql)) {
        if (nested[index] !== undefined) return undefined;
        values.push(insert);
      } else if (insert !== nested[index]) return undefined;
    }
    return new Sql(this.#statement.parts, values, { like: this.#statement });
  }
}

/** Whether the place can be filled again without what was put there: a statement with values is mostly made anew. */
function isConstant(insert: unknown): boolean {
  return !(insert instanceof Sql) || insert.values.length === 0;
}

/**
 * Makes a statement. Each value becomes a parameter. A nested `sql` becomes part of the text, with its own parameters.
 *
 * ```ts
 * const recent = sql`created_at > ${since}`;
 * const users = await session.query(sql<User>`select * from users where ${recent} and name = ${name}`);
 * ```
 *
 * For a list of values there is no function: `= any(${ids})` takes an array of any length, an empty one too.
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
  const template = templates.get(strings);
  const filled = template?.fill<Row>(inserts);
  if (filled !== undefined) return filled;
  const builder = new SqlBuilder();
  strings.forEach((text, index) => {
    if (index > 0) builder.add(inserts[index - 1]);
    builder.addText(text);
  });
  const statement = builder.build<Row>();
  // That of a tagged template is frozen.
  if (template === undefined && Object.isFrozen(strings) && inserts.every(isConstant)) {
    templates.set(strings, new Template(statement, inserts));
  }
  return statement;
}

/**
 * Values, or parts of a statement, one after the other: `where ${sql.join(conditions, sql` and `)}`. Throws `TypeError`
 * without items, which no place in SQL allows.
 */
sql.join = function join(items: readonly unknown[], separator: Sql = COMMA): Sql {
  if (items.length === 0) {
    throw new TypeError(
      "Cannot join the parts of a statement as there are none; leave the clause out in this case",
    );
  }
  const builder = new SqlBuilder();
  items.forEach((item, index) => {
    if (index > 0) builder.add(separator);
    builder.add(item);
  });
  return builder.build();
};

/**
 * Rows for INSERT: `insert into users (id, name) values ${sql.values(rows)}`. An item may be a part of a statement, such
 * as sql`default`. A statement takes 65,535 values: for more, pass columns as arrays to `unnest()`. Throws `TypeError`
 * for rows of unequal length, and without a row or a column.
 */
sql.values = function values(rows: readonly (readonly unknown[])[]): Sql {
  const width = rows[0]?.length ?? 0;
  const uneven = rows.findIndex((row) => row.length !== width);
  if (width === 0 || uneven !== -1) {
    throw new TypeError(
      "Cannot make rows of the values as " +
        (width === 0
          ? "there are none; pass at least one row with one column"
          : `row ${uneven + 1} has another length than the first: current lengths are ` +
            `${rows[uneven]!.length} and ${width}; pass sql\`default\` where a value is absent`),
    );
  }
  const builder = new SqlBuilder();
  rows.forEach((row, at) => {
    builder.addText(at === 0 ? "(" : ", (");
    row.forEach((item, index) => {
      if (index > 0) builder.addText(", ");
      builder.add(item);
    });
    builder.addText(")");
  });
  return builder.build();
};

/** The name of a type, with schema and modifier if it has them. Other types need a cast in the statement's own text. */
const TYPE_NAME = /^[a-z_]\w*(?:\.[a-z_]\w*)?(?: [a-z ]+)?(?:\(\d+(?:, ?\d+)?\))?$/i;

/**
 * An array with its type, for places where the server cannot infer it: `unnest(${sql.array(ids, "uuid")})`. Throws
 * `TypeError` if `elementType` is not the name of a type.
 */
sql.array = function array(items: readonly unknown[], elementType: string): Sql {
  if (!TYPE_NAME.test(elementType)) {
    throw new TypeError(
      `Cannot make an array as its element type is not the name of a type: current value is ${
        JSON.stringify(elementType)
      }; cast it in the statement's own text`,
    );
  }
  return new Sql(["", `::${elementType}[]`], [items]);
};

/**
 * The name of a table or column that is known only at run time, quoted, with its schema in front if it has one:
 * `sql.identifier("app", "users")`. Throws `TypeError` for an empty name and for NUL.
 */
sql.identifier = function identifier(...names: readonly [string, ...string[]]): Sql {
  const quoted = names.map((name) => {
    if (name !== "" && !name.includes("\0")) return `"${name.replaceAll('"', '""')}"`;
    throw new TypeError(
      `Cannot quote an identifier as it is empty or contains NUL: current value is ${
        JSON.stringify(name)
      }`,
    );
  });
  return new Sql([quoted.join(".")], []);
};

/**
 * A value as JSON, for a json or jsonb column: `${sql.json(tags)}`. Arrays, texts, numbers, booleans and null need it,
 * plain objects do not. Throws `TypeError` for a value without a JSON form.
 */
sql.json = function json(value: unknown): JsonValue {
  return toJson(value);
};

const COMMA = sql`, `;

/**
 * A statement from text that is SQL already, such as a migration's, or another library's with its `$1`, `$2`, … and their
 * values. With values it cannot be put into another statement. Do not pass text that came from a client.
 */
export function trustedSql<Row = Record<string, unknown>>(
  text: string,
  values: readonly unknown[] = [],
): Sql<Row> {
  return values.length === 0 ? new Sql([text], []) : new NumberedSql(text, values);
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
