/** One unit of work of a run: the statements it sends, and what its caller was told. */
import { type Session, type Sql, sql } from "../../../src/db/mod.ts";
import type { ModelLink } from "./model_link.ts";
import type { Timeline } from "./timeline.ts";

interface Echo {
  readonly echo: string;
}

/** A statement with a token that each of its rows must hold: no other statement's answer has it. */
interface Ask {
  readonly statement: Sql<Echo>;
  readonly token: string;
  readonly rows: number;
}

export type Told = { readonly value: unknown } | { readonly error: unknown };

export class Unit {
  /** Marks its rows. Several callers may ask for the unit of one key. */
  readonly name: string;
  /** Which caller asks. */
  readonly caller: string;
  /** What the caller was told; `undefined` while it waits. */
  told: Told | undefined;
  /** How long the caller waited for that after it had given up. */
  waitedAfterAbortMs = 0;
  /** How often its `afterCommit` hook was called. */
  hooks = 0;
  /** The connection that its newest attempt has sent COMMIT on. */
  commitLink: ModelLink | undefined;
  readonly #timeline: Timeline;
  readonly #controller = new AbortController();
  #abortedAtMs = Infinity;
  #asked = 0;

  constructor({ name, caller }: { name: string; caller: string }, timeline: Timeline) {
    this.name = name;
    this.caller = caller;
    this.#timeline = timeline;
  }

  /** The work begins, or begins again. */
  begin(): void {
    this.commitLink = undefined;
  }

  /** The caller's. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The caller gives up. */
  abort(): void {
    this.#abortedAtMs = Math.min(this.#abortedAtMs, this.#timeline.clock.now());
    this.#controller.abort(new Error("the caller has left"));
  }

  tell(told: Told): void {
    this.told = told;
    this.waitedAfterAbortMs = Math.max(0, this.#timeline.clock.now() - this.#abortedAtMs);
    this.#timeline.note(`${this.caller} is told ${textOf(this)}`);
  }

  /** A statement that inserts a row of this name. */
  insert(name: string): Ask {
    const token = this.#token();
    const statement = sql<Echo>`${this.#inserting(name)} returning ${token} as echo`;
    return { statement, token, rows: 1 };
  }

  /** The same by a statement whose command tag is SELECT. */
  hiddenInsert(name: string): Ask {
    const token = this.#token();
    const statement = sql<Echo>`with written as (${this.#inserting(name)}) select ${token} as echo`;
    return { statement, token, rows: 1 };
  }

  /** The same by a statement whose rows the driver's parsers cannot read. */
  unreadableInsert(name: string): Ask {
    const token = this.#token();
    const statement = sql<Echo>`${this.#inserting(name)} returning ${token} as unreadable`;
    return { statement, token, rows: 1 };
  }

  /** A statement that reads. */
  select(): Ask {
    const token = this.#token();
    return { statement: sql<Echo>`select ${token} as echo`, token, rows: 1 };
  }

  /** A statement that gives many rows. */
  series(rows: number): Ask {
    const token = this.#token();
    const statement = sql<Echo>`select ${token} as echo from generate_series(1, ${rows})`;
    return { statement, token, rows };
  }

  async query(session: Session, ask: Ask): Promise<void> {
    this.#check([await session.query(ask.statement)], [ask]);
  }

  async batch(session: Session, asks: readonly Ask[]): Promise<void> {
    this.#check(await session.batch(asks.map(({ statement }) => statement)), asks);
  }

  async commit(session: Session, asks: readonly Ask[]): Promise<void> {
    this.#check(await session.commit(asks.map(({ statement }) => statement)), asks);
  }

  /** Reads a stream in portions of two, to its end or until it has had so many rows. */
  async stream(session: Session, ask: Ask, { atMost = Infinity } = {}): Promise<void> {
    let count = 0;
    for await (const row of session.stream(ask.statement, { batchSize: 2 })) {
      this.#checkRow(row, ask);
      if (++count >= atMost) break;
    }
    if (count < Math.min(ask.rows, atMost)) this.#timeline.violate(`${this.caller} missed rows`);
  }

  /** The names of its rows, as the database has them. */
  async names(session: Session): Promise<string[]> {
    const rows = await session.query(
      sql<{ name: string }>`select name from rows where unit = ${this.name}`,
    );
    return rows.map(({ name }) => name);
  }

  #inserting(name: string): Sql {
    return sql`insert into rows (unit, name) values (${this.name}, ${name})`;
  }

  #token(): string {
    return `${this.caller}/${++this.#asked}`;
  }

  #check(results: readonly Echo[][], asks: readonly Ask[]): void {
    asks.forEach((ask, index) => {
      const rows = results[index] ?? [];
      if (rows.length !== ask.rows) {
        this.#timeline.violate(`${this.caller} was given ${rows.length} rows for ${ask.token}`);
      }
      for (const row of rows) this.#checkRow(row, ask);
    });
  }

  #checkRow({ echo }: Echo, { token }: Ask): void {
    if (echo !== token) {
      this.#timeline.violate(`${this.caller} was given ${JSON.stringify(echo)} for ${token}`);
    }
  }
}

/** What the unit was told, for people to read. */
export function textOf({ told }: Unit): string {
  if (told === undefined) return "nothing";
  if ("value" in told) return `success, ${told.value}`;
  const { error } = told;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
