/** What fails and is done again, when that is safe: the caller sees the result only. */
import { type Database, type Session, sql } from "../../../db/mod.ts";
import { addAccount, addToBalance, balanceSum, storedBalance } from "../accounts.ts";
import type { Step } from "../play.ts";

async function open(db: Database, accounts: Readonly<Record<string, number>>): Promise<void> {
  const statements = Object.entries(accounts).map(([name, balance]) => addAccount(name, balance));
  await db.transaction((session) => session.commit(statements));
}

export const conflict: Step = {
  name: "conflict",
  shows: "Of two serializable units that contradict each other, one is run again",
  async run({ db, world, check }) {
    const names = ["left", "right"];
    await open(db, { left: 100, right: 100 });
    const haveRead = Promise.withResolvers<void>();
    let runs = 0;
    /** Both have read before either writes, which no order of the two allows. */
    const withdraw = (name: string) =>
      db.transaction(async (session) => {
        const sum = await balanceSum(session, names);
        if (++runs === names.length) haveRead.resolve();
        await haveRead.promise;
        if (sum >= 150) await session.query(addToBalance(name, -150));
        await session.commit();
      }, { isolation: "serializable" });
    await Promise.all(names.map(withdraw));
    check("There were 3 runs of the 2 units", runs, 3);
    check("One followed a conflict", db.stats().retried, { serialization_failure: 1 });
    check("150 was withdrawn from 200 once", await storedBalance(world.server, ...names), 50);
  },
};

export const killedIdle: Step = {
  name: "killed-idle",
  shows: "A backend killed while idle costs the next unit nothing: its first flight is sent again",
  async run({ db, world, check }) {
    await open(db, { idle: 0 });
    const [connection] = db.inspect().connections;
    // Else the pool hears of the end, and drops the connection before anybody asks for it.
    world.faults.freezeUntilUsed();
    await world.server.terminate(connection!.processId!);
    check("PostgreSQL has no connection", await world.server.connections(), 0);
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await session.commit([addToBalance("idle", 1)]);
    });
    check("The work ran once", runs, 1);
    check("Its flight was replayed", db.stats().replayed, 1);
    check("It took effect once", await storedBalance(world.server, "idle"), 1);
  },
};

export const killedBusy: Step = {
  name: "killed-busy",
  shows: "A backend killed in mid-transaction leaves nothing behind: the unit is run again, whole",
  async run({ db, world, check }) {
    await open(db, { busy: 0 });
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await session.query(addToBalance("busy", 1));
      if (runs === 1) await world.server.terminate(await processIdOf(session));
      await session.query(addToBalance("busy", 1));
      await session.commit();
    });
    check("The work ran twice", runs, 2);
    check("It took effect once", await storedBalance(world.server, "busy"), 2);
  },
};

async function processIdOf(session: Session): Promise<number> {
  const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
  return row!.pid;
}

export const lostCommit: Step = {
  name: "lost-commit",
  shows: "COMMIT is done and its answer lost: the server is asked, and nothing is done twice",
  async run({ db, world, check }) {
    await open(db, { lost: 0 });
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await session.query(addToBalance("lost", 1));
      world.faults.loseNextCommitAnswer();
      await session.commit();
    });
    check("The outcome was found out", db.stats().resolved, 1);
    check("None is unknown", db.stats().unknown, 0);
    check("The work ran once", runs, 1);
    check("It took effect once", await storedBalance(world.server, "lost"), 1);
  },
};
