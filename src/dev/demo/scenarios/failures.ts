/** Failures after which the unit is retried when that is safe: the caller sees only the result. */
import { type Database, type Session, sql } from "../../../db/mod.ts";
import { addAccount, addToBalance, balanceSum, storedBalance } from "../accounts.ts";
import type { Scenario } from "../runner.ts";

async function addAccounts(
  db: Database,
  accounts: Readonly<Record<string, number>>,
): Promise<void> {
  const statements = Object.entries(accounts).map(([name, balance]) => addAccount(name, balance));
  await db.transaction((session) => session.commit(statements));
}

export const conflict: Scenario = {
  name: "conflict",
  shows: "Two serializable units conflict: one is rolled back and run again",
  async run({ db, environment, check }) {
    const names = ["left", "right"];
    await addAccounts(db, { left: 100, right: 100 });
    const haveRead = Promise.withResolvers<void>();
    let runs = 0;
    /** Both units read before either writes, so no serial order of the two explains the reads. */
    const withdraw = (name: string) =>
      db.transaction(async (session) => {
        const sum = await balanceSum(session, names);
        if (++runs === names.length) haveRead.resolve();
        await haveRead.promise;
        if (sum >= 150) await session.query(addToBalance(name, -150));
        await session.commit();
      }, { isolation: "serializable" });
    await Promise.all(names.map(withdraw));
    check("The 2 units took 3 runs", runs, 3);
    check("One retry followed a serialization failure", db.stats().retried, {
      serialization_failure: 1,
    });
    check(
      "150 was withdrawn from 200 exactly once",
      await storedBalance(environment.server, ...names),
      50,
    );
  },
};

export const killedIdle: Scenario = {
  name: "killed-idle",
  shows: "A backend is killed while idle: the next unit succeeds, its first flight is sent again",
  async run({ db, environment, check }) {
    await addAccounts(db, { idle: 0 });
    const [connection] = db.inspect().connections;
    // Otherwise the pool sees the socket close and drops the connection before the next unit leases it.
    environment.faults.freezeUntilUsed();
    await environment.server.terminate(connection!.processId!);
    check("PostgreSQL has no connection", await environment.server.connections(), 0);
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await session.commit([addToBalance("idle", 1)]);
    });
    check("The work ran once", runs, 1);
    check("Its flight was replayed", db.stats().replayed, 1);
    check("The update was applied once", await storedBalance(environment.server, "idle"), 1);
  },
};

export const killedBusy: Scenario = {
  name: "killed-busy",
  shows:
    "A backend is killed inside a transaction: its changes are gone, the whole unit is run again",
  async run({ db, environment, check }) {
    await addAccounts(db, { busy: 0 });
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await session.query(addToBalance("busy", 1));
      if (runs === 1) await environment.server.terminate(await processIdOf(session));
      await session.query(addToBalance("busy", 1));
      await session.commit();
    });
    check("The work ran twice", runs, 2);
    check("Both updates were applied once", await storedBalance(environment.server, "busy"), 2);
  },
};

async function processIdOf(session: Session): Promise<number> {
  const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
  return row!.pid;
}

export const lostCommit: Scenario = {
  name: "lost-commit",
  shows:
    "The answer to COMMIT is lost: the outcome is read from the server, the unit is not run twice",
  async run({ db, environment, check }) {
    await addAccounts(db, { lost: 0 });
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await session.query(addToBalance("lost", 1));
      environment.faults.loseNextCommitAnswer();
      await session.commit();
    });
    check("The outcome was resolved", db.stats().resolved, 1);
    check("No outcome is unknown", db.stats().unknown, 0);
    check("The work ran once", runs, 1);
    check("The update was applied once", await storedBalance(environment.server, "lost"), 1);
  },
};
