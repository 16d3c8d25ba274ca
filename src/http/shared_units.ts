/**
 * Units of work of one tenant that are asked for in one turn of the event loop share a transaction: one message to the
 * server, one COMMIT and one answer for several of them. By itself a unit costs both sides more for its transaction than for
 * its rows. An idle process gets one request in a turn, which then shares with no other. The busier it is, the more share.
 *
 * - Each gets the answer that it would get alone. If the shared transaction fails, as its statement does that runs for longer
 *   than `statementTimeoutMs`, it has had no effect, and each of its units runs alone. So do those of the tenant that come
 *   within a second.
 * - Where a unit has no better chance alone, the failure is the answer to all of them: the pool has no connection for it, or
 *   the transaction may be, or is, committed.
 */
import DataLoader from "dataloader";
import type { Context } from "hono";
import { BoundedMap } from "../bounded_map.ts";
import { classify, ServerError, type Session, type TransactionOptions } from "../db/mod.ts";
import { withSession } from "../library/hono/mod.ts";
import type { IdentityVariables } from "./identity.ts";
import { timeLeftMs } from "./request_timeout.ts";

/** What made a shared transaction fail will often do so again. */
const ALONE_MS = 1_000;

type RequestContext = Context<{ Variables: IdentityVariables }>;

/** What is done for several at once. */
export interface SharedWork<Item, Value> {
  /** Ends the session. Returns the answers, in the order of the items. */
  readonly work: (
    session: Session,
    items: readonly Item[],
  ) => Promise<readonly (Value | Error)[]>;
  /** How many share a transaction at most. */
  readonly max: number;
  /** For as long, in milliseconds, may one of them hold up the others. */
  readonly statementTimeoutMs: number;
  readonly readOnly?: boolean;
}

export interface SharingOptions {
  /** Calls `run` at the end of the event loop's turn. */
  readonly endOfTurn: (run: () => void) => void;
  /** Whether the trace of the request that runs is recorded: it is to have its own transaction, and its event to name it. */
  readonly isTraced: () => boolean;
  /** The database's own limit for a statement, which a shared one does not exceed. */
  readonly statementTimeoutMs: number;
}

export interface SharedUnit<Item, Value> {
  readonly item: Item;
  /** Does the same in a transaction of its own. */
  readonly alone: () => Promise<Value>;
}

/** Only for a process whose requests may use each other's connections. */
export class SharedUnits<Item, Value> {
  readonly #shared: SharedWork<Item, Value>;
  readonly #options: SharingOptions;
  /** Units of a tenant that was dropped while some were waiting share no transaction with those. */
  readonly #tenants = new BoundedMap<string, TenantUnits<Item, Value>>(1_000);

  constructor(shared: SharedWork<Item, Value>, options: SharingOptions) {
    this.#shared = shared;
    this.#options = options;
  }

  /** Throws what a unit of work throws. */
  run(c: RequestContext, { item, alone }: SharedUnit<Item, Value>): Promise<Value> {
    if (!this.#takes(c)) return alone();
    const { tenant } = c.var.identity;
    let units = this.#tenants.get(tenant);
    if (units === undefined) {
      this.#tenants.set(tenant, units = new TenantUnits(this.#shared, this.#options));
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

class TenantUnits<Item, Value> {
  readonly #work: SharedWork<Item, Value>["work"];
  readonly #options: TransactionOptions;
  /** A unit of which it makes `undefined` is to run alone. */
  readonly #loader: DataLoader<Asked<Item>, Value | undefined>;
  #aloneUntilMs = -Infinity;

  constructor(
    { work, max, readOnly, statementTimeoutMs }: SharedWork<Item, Value>,
    { endOfTurn, statementTimeoutMs: ownTimeoutMs }: SharingOptions,
  ) {
    this.#work = work;
    const timeoutMs = Math.min(statementTimeoutMs, ownTimeoutMs);
    this.#options = {
      readOnly,
      // A second attempt would make all of them wait again.
      attempts: 1,
      // The server's alone: the client waits for the answer as long as for any other.
      locals: { statement_timeout: `${timeoutMs}` },
    };
    this.#loader = new DataLoader((asked) => this.#runAll(asked), {
      cache: false,
      maxBatchSize: max,
      batchScheduleFn: endOfTurn,
    });
  }

  async run(c: RequestContext, { item, alone }: SharedUnit<Item, Value>): Promise<Value> {
    const shares = performance.now() >= this.#aloneUntilMs;
    return (shares ? await this.#loader.load({ c, item }) : undefined) ?? await alone();
  }

  /** Never rejects. */
  async #runAll(asked: readonly Asked<Item>[]): Promise<readonly (Value | Error | undefined)[]> {
    const [{ c }] = asked as [Asked<Item>];
    if (asked.length === 1) return [undefined];
    try {
      const items = asked.map(({ item }) => item);
      return await withSession(c, (session) => this.#work(session, items), this.#options);
    } catch (error) {
      if (!mayRunAlone(error)) return asked.map(() => error as Error);
      this.#aloneUntilMs = performance.now() + ALONE_MS;
      return asked.map(() => undefined);
    }
  }
}

/** Whether the transaction has had no effect, and a unit may do better alone. The pool would refuse it as it has refused all. */
function mayRunAlone(error: unknown): boolean {
  // Of a COMMIT that may have run, the session has made an error of its own. Any other break came before it.
  const { applied, transient } = classify(error, "statement");
  // After a statement's error the transaction is known to be rolled back, whatever the error is.
  return error instanceof ServerError || (applied === "no" && transient);
}
