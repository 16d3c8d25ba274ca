/**
 * Units of work of one tenant that are asked for in one turn of the event loop share a transaction: one message to the
 * server, one statement, one COMMIT and one answer for several of them. By itself a unit costs both sides more for its
 * transaction than for its rows. An idle process gets one request in a turn, which then shares with no other. The busier it
 * is, the more share.
 *
 * - Each gets the answer that it would get alone. If the shared transaction fails, as its statement does that runs for longer
 *   than `timeoutMs`, it has had no effect, and each of its units runs alone.
 * - Where a unit has no better chance alone, the failure is the answer to all of them: the pool has no connection for it, or
 *   the transaction may be, or is, committed.
 * - A statement reads or writes one row after the other. Where the server takes long for each, as for one from its disk,
 *   several connections are faster: the tenant's units run alone then.
 */
import DataLoader from "dataloader";
import type { Context } from "hono";
import { routePath } from "hono/route";
import { BoundedMap } from "../bounded_map.ts";
import {
  classify,
  type Clock,
  ServerError,
  type Sql,
  sql,
  systemClock,
  type TransactionOptions,
} from "../db/mod.ts";
import { tenantLocals } from "../tenant.ts";
import type { IdentityVariables } from "./identity.ts";
import { asError } from "../library/hono/with_session.ts";
import { timeLeftMs } from "./request_timeout.ts";

/**
 * How long units run alone after a shared transaction has failed. Often the server was held up for a moment: by a checkpoint,
 * a lock, or another process.
 */
const FAILED_MS = 250;

/** If one fails again less than this after such a time, the next one is twice as long, but no longer than `ALONE_MS`. */
const AGAIN_MS = 10_000;

/** How long units run alone after several transactions were slow. A server that is slow stays so for longer. */
const ALONE_MS = 10_000;

/**
 * Only transactions of so many units are timed: in one of fewer, each has too large a part of what the server needs for a
 * transaction of any size.
 */
const TIMED_UNITS = 8;

/** Of so many of them one is timed: if all were, the server would answer a tenth fewer reads. */
const TIMED = 4;

/** Share of the newest transaction in the average. */
const NEWEST = 1 / 16;

/** One that a lock or another process has held up counts as so many times the limit at most, and so makes no server slow. */
const OUTLIER = 4;

/** The time since the transaction began on the server. */
const ELAPSED = sql<{ ms: number }>`
  select 1000 * date_part('epoch', clock_timestamp() - transaction_timestamp()) as ms`;

type RequestContext = Context<{ Variables: IdentityVariables }>;

type Several<Item> = readonly [Item, ...Item[]];

/** What is done for several at once. */
export interface SharedWork<Item, Row, Value extends object> {
  readonly statement: (items: Several<Item>) => Sql<Row>;
  /** What comes of each item, in their order. */
  readonly answers: (rows: readonly Row[], items: Several<Item>) => readonly (Value | Error)[];
  readonly afterCommit?: (items: Several<Item>) => void | Promise<void>;
  /** How many share a transaction at most. */
  readonly max: number;
  /** How long one of them may hold up the others. */
  readonly timeoutMs: number;
  /** The tenant's run alone if the server takes longer for each, on average. */
  readonly slowMs: number;
  readonly readOnly?: boolean;
}

export interface SharingOptions {
  /** Calls `callback` at the end of the event loop's turn. */
  readonly atTurnEnd: (callback: () => void) => void;
  /** Whether the trace of the request that runs is recorded: it is to have its own transaction, and its event to name it. */
  readonly isTraced: () => boolean;
  /** The database's own limit for a statement, which a shared one does not exceed. */
  readonly statementTimeoutMs: number;
  readonly clock?: Clock;
}

export interface SharedUnit<Item, Value> {
  readonly item: Item;
  /** Does the same in a transaction of its own. */
  readonly alone: () => Promise<Value>;
}

/** Only for a process whose requests may use each other's connections. */
export class SharedUnits<Item, Row, Value extends object> {
  readonly #work: SharedWork<Item, Row, Value>;
  readonly #options: SharingOptions;
  /** A tenant that was dropped begins anew. */
  readonly #tenants = new BoundedMap<string, TenantUnits<Item, Row, Value>>(1_000);

  constructor(work: SharedWork<Item, Row, Value>, options: SharingOptions) {
    this.#work = work;
    this.#options = options;
  }

  /** Throws what a unit of work throws. */
  run(c: RequestContext, { item, alone }: SharedUnit<Item, Value>): Promise<Value> {
    if (!this.#takes(c)) return alone();
    const { tenant } = c.get("identity");
    let units = this.#tenants.get(tenant);
    if (units === undefined) {
      this.#tenants.set(tenant, units = new TenantUnits(tenant, this.#work, this.#options));
    }
    return units.run(c, { item, alone });
  }

  /** Whether the request may share: it has no key, no time limit of its own and no recorded trace. */
  #takes(c: RequestContext): boolean {
    return c.req.header("Idempotency-Key") === undefined && timeLeftMs(c) === Infinity &&
      !this.#options.isTraced();
  }
}

interface Asked<Item> {
  readonly c: RequestContext;
  readonly item: Item;
}

class TenantUnits<Item, Row, Value extends object> {
  readonly #work: SharedWork<Item, Row, Value>;
  readonly #options: TransactionOptions;
  readonly #clock: Clock;
  /** A unit of which it makes `undefined` is to run alone. */
  readonly #loader: DataLoader<Asked<Item>, Value | undefined>;
  /** How long units ran alone after the last failure. */
  #failedMs = FAILED_MS;
  #aloneUntilMs = -Infinity;
  /** Transactions of enough units. */
  #timeable = 0;
  /** How long the server takes for a unit, on average. */
  #unitMs = 0;

  constructor(
    tenant: string,
    work: SharedWork<Item, Row, Value>,
    { atTurnEnd, statementTimeoutMs, clock = systemClock }: SharingOptions,
  ) {
    this.#work = work;
    this.#clock = clock;
    this.#options = {
      readOnly: work.readOnly,
      // A second attempt would make all of them wait again.
      attempts: 1,
      locals: tenantLocals(tenant, {
        // The server's alone: the client waits for the answer as long as for any other.
        statement_timeout: `${Math.min(work.timeoutMs, statementTimeoutMs)}`,
      }),
    };
    this.#loader = new DataLoader((asked) => this.#runAll(asked), {
      cache: false,
      maxBatchSize: work.max,
      batchScheduleFn: atTurnEnd,
    });
  }

  async run(c: RequestContext, { item, alone }: SharedUnit<Item, Value>): Promise<Value> {
    const shares = this.#clock.now() >= this.#aloneUntilMs;
    return (shares ? await this.#loader.load({ c, item }) : undefined) ?? await alone();
  }

  /** Never rejects. */
  async #runAll(asked: readonly Asked<Item>[]): Promise<readonly (Value | Error | undefined)[]> {
    const [{ c }] = asked as Several<Asked<Item>>;
    if (asked.length === 1) return [undefined];
    const items = asked.map(({ item }) => item) as [Item, ...Item[]];
    const { statement, answers, afterCommit } = this.#work;
    try {
      const isTimed = items.length >= TIMED_UNITS && ++this.#timeable % TIMED === 0;
      // Not `withSession`, which drops from the response what a failed attempt has set: nothing is set here.
      const [rows, [elapsed] = []] = await c.get("db").transaction((session) => {
        if (afterCommit !== undefined) session.afterCommit(() => afterCommit(items));
        return session.commit([statement(items), ...(isTimed ? [ELAPSED] : [])] as const);
      }, { ...this.#options, label: `${c.req.method} ${routePath(c)}` });
      if (elapsed !== undefined) this.#note(elapsed.ms / items.length);
      return answers(rows, items);
    } catch (error) {
      if (!mayRunAlone(error)) return asked.map(() => asError(error));
      this.#noteFailure();
      return asked.map(() => undefined);
    }
  }

  #note(unitMs: number): void {
    const { slowMs } = this.#work;
    const boundedMs = Math.min(Math.max(0, unitMs), OUTLIER * slowMs);
    this.#unitMs += NEWEST * (boundedMs - this.#unitMs);
    if (this.#unitMs <= slowMs) return;
    this.#unitMs = 0;
    this.#aloneUntilMs = this.#clock.now() + ALONE_MS;
  }

  #noteFailure(): void {
    const nowMs = this.#clock.now();
    // Several may have been under way.
    if (nowMs < this.#aloneUntilMs) return;
    const isAgain = nowMs < this.#aloneUntilMs + AGAIN_MS;
    this.#failedMs = isAgain ? Math.min(2 * this.#failedMs, ALONE_MS) : FAILED_MS;
    this.#aloneUntilMs = nowMs + this.#failedMs;
  }
}

/** Whether the transaction has had no effect, and a unit may do better alone. The pool would refuse it as it has refused all. */
function mayRunAlone(error: unknown): boolean {
  // Of a COMMIT that may have run, the session has made an error of its own. Any other break came before it.
  const { applied, transient } = classify(error, "statement");
  // After a statement's error the transaction is known to be rolled back, whatever the error is.
  return error instanceof ServerError || (applied === "no" && transient);
}
