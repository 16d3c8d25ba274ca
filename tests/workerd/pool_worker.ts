/** A Worker whose requests share one pool. The path of a request chooses what it does with the pool. */
import {
  Database,
  type Lease,
  NeonDriver,
  OwnerScope,
  Pool,
  type Session,
  sql,
} from "../../src/db/mod.ts";
import { RetryBudget } from "../../src/db/time/retry.ts";
import { parseSettings } from "../../src/settings/settings.ts";

interface Context {
  waitUntil(rest: Promise<unknown>): void;
}

let pool: Pool | undefined;
const budget = new RetryBudget();
/** Objects that a faulty program keeps between requests. */
let kept: { session: Session; db: Database; lease: Lease } | undefined;
const held: (() => void)[] = [];

export default {
  async fetch(request: Request, env: Record<string, unknown>, ctx: Context): Promise<Response> {
    const settings = parseSettings(env);
    const { database } = settings;
    const driver = new NeonDriver({ ...database, applicationName: "pool in workerd" });
    pool ??= new Pool({
      ...database.pool,
      connectTimeoutMs: database.connectTimeoutMs,
      connect: (options) => driver.connect(options),
    });
    const scope = OwnerScope.request();
    const db = new Database({
      pool,
      budget,
      defaults: { ...database.session, deferrable: false, locals: {} },
      attempts: database.retryAttempts,
    }, { scope, waitUntil: (rest) => waitUntil(ctx, rest) });
    const act = ACTS[new URL(request.url).pathname.slice(1)];
    if (act === undefined) return new Response("no such act", { status: 404 });
    try {
      const answer = await act(db, { pool, scope });
      if (answer !== LEFT) waitUntil(ctx, pool.endScope(scope));
      return Response.json(answer);
    } catch (error) {
      waitUntil(ctx, pool.endScope(scope));
      const { name, message } = error as Error;
      return Response.json({ name, message }, { status: 500 });
    }
  },
};

/** Promises that were given to the runtime, and those that have settled since. */
const deferred = { given: 0, settled: 0 };

function waitUntil(ctx: Context, rest: Promise<unknown>): void {
  deferred.given++;
  ctx.waitUntil(rest.finally(() => deferred.settled++));
}

/** The answer of a request that ends without calling `endScope`. */
const LEFT = "left";

type Act = (db: Database, of: { pool: Pool; scope: OwnerScope }) => unknown;

function backend(db: Database): Promise<number> {
  return db.transaction(async (session) => {
    const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
    await session.commit();
    return row!.pid;
  });
}

const ACTS: Readonly<Record<string, Act>> = {
  work: (db) => backend(db),

  workTwice: async (db) => [await backend(db), await backend(db)],

  /** Waits forever during a transaction. */
  hang: async (db) => {
    await db.session().query(sql`select 1`);
    return await new Promise(() => {});
  },

  /** Answers with its transaction still open. */
  leave: async (db) => {
    await db.session().query(sql`select 1`);
    return LEFT;
  },

  /** Answers while its `acquire` is still waiting. */
  leaveWaiting: (_, { pool, scope }) => {
    pool.acquire({ scope }).catch(() => {});
    return pool.stats().waiting > 0 ? LEFT : "did not wait";
  },

  /** Keeps its session where other requests can reach it. */
  keep: async (db, { pool, scope }) => {
    // Acquire and release first, so that the session gets this connection.
    const lease = await pool.acquire({ scope });
    await lease.release();
    await using session = db.session();
    await session.query(sql`select 1`);
    kept = { session, db, lease };
    const { promise, resolve } = Promise.withResolvers<void>();
    held.push(resolve);
    // The runtime cancels a request as hung if it waits for nothing of its own.
    const timer = setTimeout(resolve, 10_000);
    await promise;
    clearTimeout(timer);
    const [row] = await session.query(sql<{ two: number }>`select 2 as two`);
    await session.commit();
    return row!.two;
  },

  useKeptSession: () => kept!.session.query(sql`select 1`),

  useKeptDatabase: () => kept!.db.transaction((session) => session.query(sql`select 1`)),

  useKeptConnection: () => kept!.lease.connection.flight([{ text: "select 1", values: [] }]),

  kept: () => held.length,

  letGo: () => {
    for (const go of held.splice(0)) go();
    return "done";
  },

  /** Asks for a second connection while it holds one and other requests hold the rest. */
  holdAndWait: async (db) => {
    await using first = db.session();
    await first.query(sql`select 1`);
    await using second = db.session();
    await second.query(sql`select 1`);
    return "had both";
  },

  stats: (_, { pool }) => pool.stats(),

  deferred: () => ({ ...deferred }),
};
