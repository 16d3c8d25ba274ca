/** How a session ends: by what its author says, by an error, or unsaid. */
import { SessionNotCommittedError } from "../../../db/mod.ts";
import { addAccount, storedBalance } from "../accounts.ts";
import type { Step } from "../play.ts";
import { rejectionOf } from "../rejection.ts";

export const commit: Step = {
  name: "commit",
  shows: "A session that commits keeps its work and gives its connection back",
  async run({ db, world, check }) {
    {
      await using session = db.session();
      await session.query(addAccount("kept", 100));
      check(
        "Nobody else sees the row before COMMIT",
        await storedBalance(world.server, "kept"),
        null,
      );
      const { "idle in transaction": open } = await world.server.activity();
      check("PostgreSQL has one open transaction", open, 1);
      await session.commit();
    }
    check("The row is there after it", await storedBalance(world.server, "kept"), 100);
    check("The connection is idle", db.stats().idle, 1);
  },
};

export const rollback: Step = {
  name: "rollback",
  shows: "An exception rolls back, and comes out as it was thrown",
  async run({ db, world, check }) {
    const bug = new Error("a bug in the handler");
    const error = await rejectionOf(db.transaction(async (session) => {
      await session.query(addAccount("undone", 100));
      throw bug;
    }));
    check("The caller gets the exception itself", error === bug, true);
    check("The row is gone", await storedBalance(world.server, "undone"), null);
    check("It was rolled back once", db.stats().rolledBack, 1);
  },
};

export const forgottenCommit: Step = {
  name: "forgotten-commit",
  shows: "A unit of work that wrote and did not commit is an error, not a silent loss",
  async run({ db, world, check }) {
    const error = await rejectionOf(db.transaction(async (session) => {
      await session.query(addAccount("forgotten", 100));
    }));
    check("The caller is told", error instanceof SessionNotCommittedError, true);
    check("The row is gone", await storedBalance(world.server, "forgotten"), null);
  },
};
