/** The pool's bound, and the rules by which it closes connections. */
import { AcquireTimeoutError, type Database, type Session, sql } from "../../../db/mod.ts";
import { pollUntil } from "../../../library/testing/postgres/poll.ts";
import type { Scenario } from "../runner.ts";
import { rejectionOf } from "../rejection.ts";

const WAIT = { deadlineMs: 5_000, intervalMs: 10 };

/** Sessions that each hold a connection until the stack is disposed. */
async function holdConnections(
  db: Database,
  count: number,
): Promise<AsyncDisposableStack & { readonly sessions: readonly Session[] }> {
  const held = new AsyncDisposableStack();
  const sessions = Array.from({ length: count }, () => held.use(db.session()));
  await Promise.all(sessions.map((session) => session.query(sql`select`)));
  return Object.assign(held, { sessions });
}

export const bound: Scenario = {
  name: "bound",
  shows: "A pool of size 2 with overflow 1 never has more than 3 connections; a waiter times out",
  settings: {
    DATABASE_POOL_SIZE: "2",
    DATABASE_MAX_OVERFLOW: "1",
    DATABASE_POOL_TIMEOUT: "1",
    // Off, so that the waiter is refused by its timeout, not by load shedding.
    DATABASE_POOL_SHED_TARGET: "0",
  },
  async run({ db, environment, check }) {
    const isOneWaiting = () => db.stats().waiting === 1;
    await using held = await holdConnections(db, 3);
    const late = rejectionOf(db.session().query(sql`select`));
    check("A fourth session waits", await pollUntil(isOneWaiting, WAIT), true);
    check("PostgreSQL has 3 connections", await environment.server.connections(), 3);
    const error = await late;
    check("It is refused with AcquireTimeoutError", error instanceof AcquireTimeoutError, true);
    check("It has left the queue", db.stats().waiting, 0);

    const served = db.transaction((session) => session.commit([sql`select`]));
    check("A fifth session waits", await pollUntil(isOneWaiting, WAIT), true);
    await held.sessions[0]?.rollback();
    await served;
    check("It gets the connection that was given back", db.stats().counters.connected, 3);
  },
};

export const overflow: Scenario = {
  name: "overflow",
  shows: "Connections beyond the pool's size are closed when they are given back",
  settings: { DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "2" },
  async run({ db, environment, check }) {
    {
      await using _held = await holdConnections(db, 3);
      check("PostgreSQL has 3 connections in use", await environment.server.connections(), 3);
    }
    const isOneLeft = async () => await environment.server.connections() === 1;
    check("PostgreSQL has 1 connection after that", await pollUntil(isOneLeft, WAIT), true);
    check(
      "Two connections were closed when they were given back",
      db.stats().counters.overflowClosed,
      2,
    );
    check("One connection is kept", db.stats().idle, 1);
  },
};

export const recycle: Scenario = {
  name: "recycle",
  shows: "A connection older than DATABASE_POOL_RECYCLE (1 s here) is replaced",
  settings: { DATABASE_POOL_RECYCLE: "1" },
  async run({ db, check }) {
    const processId = async () => {
      const [[row]] = await db.transaction((session) =>
        session.commit([sql<{ pid: number }>`select pg_backend_pid() as pid`])
      );
      return row?.pid;
    };
    const first = await processId();
    check("A second unit gets the same connection", await processId(), first);
    const isOld = () => db.inspect().connections.every(({ ageMs }) => ageMs > 1_000);
    check("The connection gets older than 1 s", await pollUntil(isOld, WAIT), true);
    check("A third unit gets a new connection", await processId() !== first, true);
    check("One connection was recycled", db.stats().counters.recycled, 1);
  },
};
