/** How a session ends: by commit, by an error, or without either. */
import { SessionNotCommittedError } from "../../../db/mod.ts";
import { addAccount, storedBalance } from "../accounts.ts";
import type { Scenario } from "../runner.ts";
import { rejectionOf } from "../rejection.ts";

export const commit: Scenario = {
  name: "commit",
  shows: "A session that commits keeps its changes and gives its connection back",
  async run({ db, environment, check }) {
    {
      await using session = db.session();
      await session.query(addAccount("kept", 100));
      check(
        "Other connections do not see the row before COMMIT",
        await storedBalance(environment.server, "kept"),
        null,
      );
      const { "idle in transaction": open } = await environment.server.activity();
      check("PostgreSQL has one open transaction", open, 1);
      await session.commit();
    }
    check(
      "Other connections see the row after COMMIT",
      await storedBalance(environment.server, "kept"),
      100,
    );
    check("The connection is idle", db.stats().idle, 1);
  },
};

export const rollback: Scenario = {
  name: "rollback",
  shows: "An exception rolls the transaction back and reaches the caller unchanged",
  async run({ db, environment, check }) {
    const bug = new Error("a bug in the handler");
    const error = await rejectionOf(db.transaction(async (session) => {
      await session.query(addAccount("undone", 100));
      throw bug;
    }));
    check("The caller gets the exception itself", error === bug, true);
    check("The row is gone", await storedBalance(environment.server, "undone"), null);
    check("One transaction was rolled back", db.stats().rolledBack, 1);
  },
};

export const forgottenCommit: Scenario = {
  name: "forgotten-commit",
  shows: "A unit of work that wrote and did not commit is an error, not silent data loss",
  async run({ db, environment, check }) {
    const error = await rejectionOf(db.transaction(async (session) => {
      await session.query(addAccount("forgotten", 100));
    }));
    check(
      "The caller gets SessionNotCommittedError",
      error instanceof SessionNotCommittedError,
      true,
    );
    check("The row is gone", await storedBalance(environment.server, "forgotten"), null);
  },
};
