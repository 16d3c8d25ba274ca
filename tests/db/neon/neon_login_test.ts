/** Logins that the server refuses, on a connection that has sent no flight. */
import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { ConnectError, ServerError } from "../../../src/db/errors.ts";
import { classify } from "../../../src/db/failures/classify.ts";
import { faultBranch } from "../../support/fault_branch.ts";
import { driverOf } from "../../support/fault_fixture.ts";
import { answer } from "../../support/fault_relay.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

for (const role of ["user_service", "user_service_scram"] as const) {
  for (
    const [sqlState, message, transient] of [
      ["28P01", "password authentication failed", false],
      ["53300", "sorry, too many clients already", true],
      ["57P03", "the database system is starting up", true],
      ["XX000", "Control plane request failed", true],
      ["XX000", "Your project has exceeded the data transfer quota", false],
    ] as const
  ) {
    Deno.test(`a login of ${role} refused with "${message}" is classified by its cause`, async () => {
      await using branch = await faultBranch(database);
      branch.relay.when({ kind: "Startup" }, answer({ severity: "FATAL", sqlState, message }));
      const error = await assertRejects(
        async () => {
          const connection = await driverOf(branch, role).connect({ timeoutMs: 5_000 });
          await connection.ready;
        },
        ConnectError,
        message,
      );
      assertInstanceOf(error.cause, ServerError);
      assertEquals(error.cause.sqlState, sqlState);
      assertEquals(classify(error, "statement").transient, transient);
    });
  }
}

for (const role of ["user_service", "user_service_scram"] as const) {
  Deno.test(`a connect of ${role} that waits for the login resolves once the server has accepted it, and not before`, async () => {
    await using branch = await faultBranch(database);
    const connect = () => driverOf(branch, role).connect({ timeoutMs: 5_000, untilReady: true });
    const connection = await connect();
    assertEquals([connection.state, connection.status], ["idle", "I"]);
    const { results } = await connection.flight([{ text: "select 1 as one", values: [] }]);
    assertEquals(results[0]?.rows, [{ one: 1 }]);
    await connection.close({ timeoutMs: 5_000 });

    const message = "the database system is starting up";
    branch.relay.when(
      { kind: "Startup" },
      answer({
        severity: "FATAL",
        sqlState: "57P03",
        message,
      }),
    );
    await assertRejects(connect, ConnectError, message);
  });
}
