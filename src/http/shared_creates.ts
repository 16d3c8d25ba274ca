/**
 * Creates of one tenant that come together share a transaction: one message to the server, one COMMIT and one answer for
 * several of them. A create by itself costs the server more for its transaction than for its rows.
 *
 * - While no other create of the tenant is under way, a create has a transaction of its own.
 * - Otherwise it waits for the end of those, and for at most 1 ms. So one that waits for a lock, or for a server that is far
 *   away, holds up no later one.
 * - Each gets the answer that it would get alone. If the shared transaction fails, as its statement does that runs for longer
 *   than 250 ms, it has had no effect, and each of its creates runs alone. So do those of the tenant that come within a second.
 * - Where a create has no better chance alone, the failure is the answer to all of them: the pool has no connection for it, or
 *   the transaction may be, or is, committed.
 */
import type { Context } from "hono";
import { BoundedMap } from "../bounded_map.ts";
import { classify, PoolClosedError, PoolRefusal, ServerError, type Session } from "../db/mod.ts";
import { withSession } from "../library/hono/mod.ts";
import type { NewUser, User } from "../users/user.ts";
import { createUsers } from "../users/user_batch.ts";
import { EmailTakenError } from "../users/user_errors.ts";
import type { UserId } from "../users/user_id.ts";
import type { IdentityVariables } from "./identity.ts";
import { timeLeftMs } from "./request_timeout.ts";

/** Less than a transaction takes near the server, and little beside the way to one that is far away. */
const WAIT_MS = 1;

const MAX_TOGETHER = 100;

/** For as long may one create make the others wait, by a lock of another transaction's on its address. */
const STATEMENT_TIMEOUT_MS = 250;

/** What made a shared transaction fail will often do so again. */
const ALONE_MS = 1_000;

type RequestContext = Context<{ Variables: IdentityVariables }>;

/** A request to create a user. */
export interface Create {
  readonly c: RequestContext;
  readonly user: NewUser & { readonly id: UserId };
  /** Called after the commit. */
  readonly onCommitted: () => void | Promise<void>;
  /** Creates the user in a transaction of its own. */
  readonly alone: () => Promise<User>;
}

interface Waiting extends Create {
  /** `undefined` if the create is to run alone. */
  readonly resolve: (user: User | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export interface SharedCreatesOptions {
  /** Whether the trace of the request that runs is recorded: it is to have its own transaction, and its event to name it. */
  readonly isTraced: () => boolean;
  /** The database's own limit for a statement, which a shared one does not exceed; 0 for none. */
  readonly statementTimeoutMs: number;
  /** Longest wait for others, in milliseconds; 1 by default. */
  readonly waitMs?: number;
}

/** Only for a process whose requests may use each other's connections. */
export class SharedCreates {
  readonly #options: SharedCreatesOptions;
  /** Creates of a tenant that was dropped while some were under way share no transaction with those. */
  readonly #tenants = new BoundedMap<string, TenantCreates>(1_000);

  constructor(options: SharedCreatesOptions) {
    this.#options = options;
  }

  /** Whether the request's create may share a transaction: it has no key, no time limit of its own and no recorded trace. */
  takes(c: RequestContext): boolean {
    return c.req.header("Idempotency-Key") === undefined && timeLeftMs(c) === Infinity &&
      !this.#options.isTraced();
  }

  /** Stores a new user. Throws `EmailTakenError`, and what a unit of work throws. */
  create(create: Create): Promise<User> {
    const { tenant } = create.c.var.identity;
    let creates = this.#tenants.get(tenant);
    if (creates === undefined) {
      this.#tenants.set(tenant, creates = new TenantCreates(this.#options));
    }
    return creates.run(create);
  }
}

class TenantCreates {
  readonly #waitMs: number;
  readonly #statementTimeoutMs: number;
  /** Under way. */
  #transactions = 0;
  #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #aloneUntilMs = -Infinity;

  constructor({ waitMs = WAIT_MS, statementTimeoutMs }: SharedCreatesOptions) {
    this.#waitMs = waitMs;
    this.#statementTimeoutMs = Math.min(STATEMENT_TIMEOUT_MS, statementTimeoutMs || Infinity);
  }

  async run(create: Create): Promise<User> {
    const shares = this.#transactions > 0 && performance.now() >= this.#aloneUntilMs;
    const user = shares ? await this.#together(create) : undefined;
    return user ?? await this.#counted(create.alone);
  }

  #together(create: Create): Promise<User | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<User | undefined>();
    this.#waiting.push({ ...create, resolve, reject });
    if (this.#waiting.length === MAX_TOGETHER) this.#runWaiting();
    else this.#timer ??= setTimeout(() => this.#runWaiting(), this.#waitMs);
    return promise;
  }

  #runWaiting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const creates = this.#waiting;
    this.#waiting = [];
    if (creates.length === 1) creates[0]!.resolve(undefined);
    else void this.#counted(() => this.#runTogether(creates));
  }

  async #counted<T>(transaction: () => Promise<T>): Promise<T> {
    this.#transactions++;
    try {
      return await transaction();
    } finally {
      if (--this.#transactions === 0 && this.#waiting.length > 0) this.#runWaiting();
    }
  }

  /** Settles each create. Never rejects. */
  async #runTogether(creates: readonly Waiting[]): Promise<void> {
    const [first] = creates as [Waiting];
    let session: Session | undefined;
    try {
      const stored = await withSession(first.c, (opened) => {
        session = opened;
        session.afterCommit(first.onCommitted);
        return createUsers(session, creates.map(({ user }) => user));
      }, {
        // A second attempt would make all of them wait again.
        attempts: 1,
        // The server's alone: the client waits for the answer as long as for any other.
        locals: { statement_timeout: `${this.#statementTimeoutMs}` },
      });
      for (const { user, resolve, reject } of creates) {
        const created = stored.get(user.id);
        if (created !== undefined) resolve(created);
        else reject(new EmailTakenError());
      }
    } catch (error) {
      if (session?.isCommitted || !mayRunAlone(error)) {
        for (const { reject } of creates) reject(error);
        return;
      }
      this.#aloneUntilMs = performance.now() + ALONE_MS;
      for (const { resolve } of creates) resolve(undefined);
    }
  }
}

/** Whether the transaction has had no effect, and a create may do better alone. */
function mayRunAlone(error: unknown): boolean {
  // The pool would refuse each of them, after as long a wait.
  if (error instanceof PoolRefusal || error instanceof PoolClosedError) return false;
  // After a statement's error the transaction is known to be rolled back, whatever the error is.
  return error instanceof ServerError || classify(error, "commit").applied === "no";
}
