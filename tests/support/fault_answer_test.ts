import { assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { ConnectError, ConnectionLostError, ServerError } from "../../src/db/errors.ts";
import {
  connect,
  driverOf,
  faultTestsOn,
  insert,
  rowsOf,
  serverDone,
  statement,
} from "./fault_fixture.ts";
import { answer, COMMIT, COMMITTED } from "./fault_relay.ts";
import { localDatabase } from "./local_database.ts";

const faultTest = faultTestsOn(await localDatabase());

faultTest(
  "an ERROR in place of a statement aborts the transaction on the server too",
  async (branch) => {
    const connection = await connect(branch);
    branch.relay.when(
      { kind: "Parse", text: /insert/ },
      answer({ sqlState: "40001", message: "could not serialize access" }),
    );
    const { error, status, results } = await connection.flight([
      statement("begin"),
      insert("refused"),
      statement("commit"),
    ]);
    assertInstanceOf(error, ServerError);
    assertEquals([error.severity, error.sqlState], ["ERROR", "40001"]);
    assertEquals(results.map(({ command }) => command), ["BEGIN"]);
    assertEquals(status, "E");
    const { error: second } = await connection.flight([statement("select 1")]);
    assertEquals((second as ServerError).sqlState, "25P02");
    await connection.flight([statement("rollback")]);
    assertEquals(await rowsOf(branch, "refused"), 0);
    await connection.close({ timeoutMs: 5_000 });
  },
);

faultTest("an ERROR in place of COMMIT has rolled back", async (branch) => {
  const connection = await connect(branch);
  branch.relay.when(COMMIT, answer({ sqlState: "40001", message: "could not serialize access" }));
  const { error, status } = await connection.flight([
    statement("begin"),
    insert("refused"),
    statement("commit"),
  ]);
  assertEquals((error as ServerError).sqlState, "40001");
  assertEquals(status, "I");
  assertEquals(await rowsOf(branch, "refused"), 0);
  await connection.close({ timeoutMs: 5_000 });
});

for (
  const [what, point, rows] of [
    ["before COMMIT arrived", COMMIT, 0],
    ["after COMMIT was done", COMMITTED, 1],
  ] as const
) {
  faultTest(`a FATAL ${what} ends the connection`, async (branch) => {
    const connection = await connect(branch);
    branch.relay.when(
      point,
      answer({ severity: "FATAL", sqlState: "57P01", message: "terminating connection" }),
    );
    const error = await assertRejects(
      () => connection.flight([statement("begin"), insert(what), statement("commit")]),
      ConnectionLostError,
    );
    assertEquals((error.cause as ServerError).sqlState, "57P01");
    await connection.closed;
    await branch.relay.connections[0]!.closed;
    await serverDone(branch);
    assertEquals(await rowsOf(branch, what), rows);
  });
}

for (
  const [sqlState, message] of [
    ["53300", "sorry, too many clients already"],
    ["57P03", "the database system is starting up"],
    ["XX000", "Couldn't connect to compute node"],
  ] as const
) {
  for (const role of ["user_service", "user_service_scram"] as const) {
    faultTest(`${role} is refused at startup with ${sqlState}`, async (branch) => {
      branch.relay.when(
        { kind: "Startup" },
        answer({ severity: "FATAL", sqlState, message }),
      );
      const error = await assertRejects(
        () =>
          driverOf(branch, role).connect({ timeoutMs: 5_000 })
            .then((connection) => connection.flight([statement("select 1")])),
        ConnectError,
      );
      assertEquals((error.cause as ServerError).sqlState, sqlState);
      assertStringIncludes(error.message, message);
      await branch.relay.connections[0]!.closed;
    });
  }
}

faultTest("a FATAL in a login's own flight comes after the login", async (branch) => {
  branch.relay.when(
    { kind: "Parse", text: /insert/ },
    answer({ severity: "FATAL", sqlState: "57P01", message: "terminating connection" }),
  );
  const connection = await driverOf(branch, "user_service").connect({ timeoutMs: 5_000 });
  const error = await assertRejects(
    () => connection.flight([statement("begin"), insert("cold"), statement("commit")]),
    ConnectionLostError,
  );
  assertEquals([error.begun, (error.cause as ServerError).sqlState], [true, "57P01"]);
  await connection.closed;
  await serverDone(branch);
  assertEquals(await rowsOf(branch, "cold"), 0);
});

faultTest("an ERROR can stand at any message of a flight", async (branch) => {
  const connection = await connect(branch);
  for (const kind of ["Parse", "Bind", "Describe", "Execute", "Sync", "RowDescription"] as const) {
    branch.relay.when({ kind }, answer({ sqlState: "55P03", message: `no ${kind}` }));
    const { error, status } = await connection.flight([statement("select 1")]);
    assertEquals(error?.message, `no ${kind}`);
    assertEquals(status, "I");
  }
  const { error } = await connection.flight([statement("select 1")]);
  assertEquals(error, undefined);
  await connection.close({ timeoutMs: 5_000 });
});
