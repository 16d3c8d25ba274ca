/**
 * Creates of one tenant that come together share a transaction: one message to the server, one COMMIT and one answer for
 * several of them. A create by itself costs the server more for its transaction than for its rows.
 *
 * - While no other create of the tenant is under way, a create has a transaction of its own.
 * - Otherwise it waits for the end of those, and for at most 1 ms. So one that waits for a lock, or for a server that is far
 *   away, holds up no later one.
 * - Each gets the answer that it would get alone. If the shared transaction fails, it is rolled back, and each of its
 *   creates runs alone, with retries of its own. Only if its outcome stays unknown, that is the answer to all of them.
 */
import type { Context } from "hono";
import { BoundedMap } from "../bounded_map.ts";
import { CommitOutcomeUnknownError, type Session } from "../db/mod.ts";
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

/**
 * One create that waits for a lock of another transaction's, for the same address, makes the others wait as well: after
 * this time they run alone.
 */
const LOCK_TIMEOUT_MS = 100;

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
  readonly resolve: (user: User) => void;
  readonly reject: (error: unknown) => void;
}

export interface SharedCreatesOptions {
  /** Whether the trace of the request that runs is recorded: it is to have its own transaction, and its event to name it. */
  readonly isTraced: () => boolean;
  /** Longest wait for others, in milliseconds; 1 by default. */
  readonly waitMs?: number;
}

/** Only for a process whose requests may use each other's connections. */
export class SharedCreates {
  readonly #isTraced: () => boolean;
  readonly #waitMs: number;
  /** Creates of a tenant that was dropped while some were under way share no transaction with those. */
  readonly #tenants = new BoundedMap<string, TenantCreates>(1_000);

  constructor({ isTraced, waitMs = WAIT_MS }: SharedCreatesOptions) {
    this.#isTraced = isTraced;
    this.#waitMs = waitMs;
  }

  /** Whether the request's create may share a transaction: it has no key and no time limit of its own. */
  takes(c: RequestContext): boolean {
    return c.req.header("Idempotency-Key") === undefined && timeLeftMs(c) === Infinity &&
      !this.#isTraced();
  }

  /** Stores a new user. Throws what `create.alone` throws. */
  create(create: Create): Promise<User> {
    const { tenant } = create.c.var.identity;
    let creates = this.#tenants.get(tenant);
    if (creates === undefined) {
      this.#tenants.set(tenant, creates = new TenantCreates(this.#waitMs));
    }
    return creates.run(create);
  }
}

class TenantCreates {
  readonly #waitMs: number;
  #transactions = 0;
  #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  run(create: Create): Promise<User> {
    if (this.#transactions === 0) return this.#counted(create.alone);
    const { promise, resolve, reject } = Promise.withResolvers<User>();
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
    void this.#counted(() => runTogether(creates));
  }

  async #counted<T>(transaction: () => Promise<T>): Promise<T> {
    this.#transactions++;
    try {
      return await transaction();
    } finally {
      if (--this.#transactions === 0 && this.#waiting.length > 0) this.#runWaiting();
    }
  }
}

/** Settles each create. Never rejects. */
async function runTogether(creates: readonly Waiting[]): Promise<void> {
  const [first] = creates as [Waiting];
  if (creates.length === 1) return await runAlone(first);
  let session: Session | undefined;
  try {
    const stored = await withSession(first.c, (opened) => {
      session = opened;
      session.afterCommit(first.onCommitted);
      return createUsers(session, creates.map(({ user }) => user));
    }, { attempts: 1, lockTimeoutMs: LOCK_TIMEOUT_MS });
    for (const { user, resolve, reject } of creates) {
      const created = stored.get(user.id);
      if (created !== undefined) resolve(created);
      else reject(new EmailTakenError());
    }
  } catch (error) {
    const mayBeCommitted = error instanceof CommitOutcomeUnknownError || session?.isCommitted;
    if (mayBeCommitted) creates.forEach(({ reject }) => reject(error));
    else await Promise.all(creates.map(runAlone));
  }
}

/** Settles the create. Never rejects. */
async function runAlone({ alone, resolve, reject }: Waiting): Promise<void> {
  try {
    resolve(await alone());
  } catch (error) {
    reject(error);
  }
}
