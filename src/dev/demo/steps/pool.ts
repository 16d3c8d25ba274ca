/** What bounds the pool, and when it closes a connection. */
import { AcquireTimeoutError, type Database, type Session, sql } from "../../../db/mod.ts";
import { pollUntil } from "../../poll.ts";
import type { Step } from "../play.ts";
import { rejectionOf } from "../rejection.ts";

const PATIENCE = { deadlineMs: 5_000, intervalMs: 10 };

/** Sessions that hold a connection each, until they are disposed of. */
async function holdConnections(
  db: Database,
  count: number,
): Promise<AsyncDisposableStack & { readonly sessions: readonly Session[] }> {
  const held = new AsyncDisposableStack();
  const sessions = Array.from({ length: count }, () => held.use(db.session()));
  await Promise.all(sessions.map((session) => session.query(sql`select`)));
  return Object.assign(held, { sessions });
}

export const bound: Step = {
  name: "bound",
  shows: "A pool of 2 with 1 beyond never has more than 3; who waits too long is told so",
  settings: {
    DATABASE_POOL_SIZE: "2",
    DATABASE_MAX_OVERFLOW: "1",
    DATABASE_POOL_TIMEOUT: "1",
    // Who waits is to be told of the time, and not that the queue is slow.
    DATABASE_POOL_SHED_TARGET: "0",
  },
  async run({ db, world, check }) {
    const isOneWaiting = () => db.stats().waiting === 1;
    await using held = await holdConnections(db, 3);
    const late = rejectionOf(db.session().query(sql`select`));
    check("A fourth session waits", await pollUntil(isOneWaiting, PATIENCE), true);
    check("PostgreSQL has 3 connections", await world.server.connections(), 3);
    const error = await late;
    check("It is refused after 1 s", error instanceof AcquireTimeoutError, true);
    check("It has left the queue", db.stats().waiting, 0);

    const served = db.transaction((session) => session.commit([sql`select`]));
    check("A fifth one waits", await pollUntil(isOneWaiting, PATIENCE), true);
    await held.sessions[0]?.rollback();
    await served;
    check("It is served by the connection that came back", db.stats().counters.connected, 3);
  },
};

export const overflow: Step = {
  name: "overflow",
  shows: "Connections beyond the pool's size are closed when they come back",
  settings: { DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "2" },
  async run({ db, world, check }) {
    {
      await using _held = await holdConnections(db, 3);
      check("PostgreSQL has 3 connections at work", await world.server.connections(), 3);
    }
    const isOneLeft = async () => await world.server.connections() === 1;
    check("PostgreSQL has 1 connection then", await pollUntil(isOneLeft, PATIENCE), true);
    check("Two were closed on return", db.stats().counters.overflowClosed, 2);
    check("One is kept", db.stats().idle, 1);
  },
};

export const recycle: Step = {
  name: "recycle",
  shows: "A connection that has come of age (1 s here) is replaced",
  settings: { DATABASE_POOL_RECYCLE: "1" },
  async run({ db, check }) {
    const processId = async () => {
      const [[row]] = await db.transaction((session) =>
        session.commit([sql<{ pid: number }>`select pg_backend_pid() as pid`])
      );
      return row?.pid;
    };
    const first = await processId();
    check("Used again at once, it is the same", await processId(), first);
    const isOld = () => db.inspect().connections.every(({ ageMs }) => ageMs > 1_000);
    check("It comes of age", await pollUntil(isOld, PATIENCE), true);
    check("Another one takes its place", await processId() !== first, true);
    check("One was recycled", db.stats().counters.recycled, 1);
  },
};
