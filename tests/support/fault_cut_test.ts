import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { ConnectError, ConnectionLostError, ServerError } from "../../src/db/errors.ts";
import {
  backends,
  connect,
  driverOf,
  faultTestsOn,
  insert,
  rowsOf,
  serverDone,
  statement,
} from "./fault_fixture.ts";
import {
  BEGIN,
  COMMIT,
  COMMIT_EXECUTE,
  COMMITTED,
  dropAfter,
  dropBefore,
  type Fault,
  halfClose,
  hold,
  type Point,
} from "./fault_relay.ts";
import { localDatabase } from "./local_database.ts";

const faultTest = faultTestsOn(await localDatabase());

/** Each cut once, in the flight `[begin, insert, commit]`. */
const cuts: [what: string, point: Point, fault: Fault, rows: number][] = [
  ["COMMIT never reached the server", COMMIT, dropBefore(), 0],
  ["COMMIT was parsed only", COMMIT, dropAfter(), 0],
  ["COMMIT was executed", COMMIT_EXECUTE, dropAfter(), 1],
  ["COMMIT was executed, by a reset", COMMIT_EXECUTE, dropAfter({ reset: true }), 1],
  ["BEGIN never reached the server", BEGIN, dropBefore(), 0],
  ["the flight was sent whole", { kind: "Sync", statement: /commit/ }, dropAfter(), 1],
  ["the server had committed", COMMITTED, dropBefore(), 1],
  ["the server had begun", { kind: "ParseComplete", statement: /insert/ }, dropAfter(), 1],
  [
    "all was over but the last word",
    { kind: "ReadyForQuery", statement: /commit/ },
    dropBefore(),
    1,
  ],
];

for (const [what, point, fault, rows] of cuts) {
  faultTest(`a connection is cut when ${what}`, async (branch) => {
    const connection = await connect(branch);
    const armed = branch.relay.when(point, fault);
    const error = await assertRejects(
      () => connection.flight([statement("begin"), insert(what), statement("commit")]),
      ConnectionLostError,
    );
    assertEquals(error.cause instanceof ServerError, false);
    const seen = await armed.struck();
    await seen.closed;
    await connection.closed;
    await serverDone(branch);
    assertEquals(await rowsOf(branch, what), rows);
    assertEquals(armed.strikes, 1);
  });
}

faultTest("a ParseComplete passed before the cut has begun the flight", async (branch) => {
  const connection = await connect(branch);
  branch.relay.when({ kind: "ParseComplete" }, dropAfter());
  const error = await assertRejects(
    () => connection.flight([statement("select 1")]),
    ConnectionLostError,
  );
  assertEquals(error.begun, true);
  await connection.closed;
});

faultTest("a held COMMIT arrives after its client has given up", async (branch) => {
  const connection = await connect(branch);
  const held = branch.relay.when(COMMIT, hold());
  const lost = assertRejects(
    () => connection.flight([statement("begin"), insert("held"), statement("commit")]),
    ConnectionLostError,
  );
  const seen = await held.struck();
  await connection.close({ timeoutMs: 5_000 });
  await lost;
  assertEquals(await rowsOf(branch, "held"), 0);
  assertEquals(await backends(branch), 1);
  held.release();
  await seen.closed;
  await serverDone(branch);
  assertEquals(await rowsOf(branch, "held"), 1);
});

faultTest("a server that hears the end of its client's stream rolls back", async (branch) => {
  const connection = await connect(branch);
  const armed = branch.relay.when(COMMIT, halfClose("toServer"));
  await assertRejects(
    () => connection.flight([statement("begin"), insert("half"), statement("commit")]),
    ConnectionLostError,
  );
  await (await armed.struck()).closed;
  await connection.closed;
  assertEquals(await rowsOf(branch, "half"), 0);
});

faultTest(
  "a client that hears the end of its server's stream gives up, though COMMIT went through",
  async (branch) => {
    const connection = await connect(branch);
    const armed = branch.relay.when(COMMIT, halfClose("toClient"));
    await assertRejects(
      () => connection.flight([statement("begin"), insert("half"), statement("commit")]),
      ConnectionLostError,
    );
    await (await armed.struck()).closed;
    await connection.closed;
    await serverDone(branch);
    assertEquals(await rowsOf(branch, "half"), 1);
  },
);

faultTest("an idle connection is cut", async (branch) => {
  const connection = await connect(branch);
  branch.relay.connections[0]!.cut();
  assertInstanceOf(await connection.closed, ConnectionLostError);
  await serverDone(branch);
});

faultTest("a login's own flight is cut before its COMMIT", async (branch) => {
  const armed = branch.relay.when(COMMIT, dropBefore());
  const connection = await driverOf(branch, "user_service").connect({ timeoutMs: 5_000 });
  await assertRejects(
    () => connection.flight([statement("begin"), insert("cold"), statement("commit")]),
    ConnectError,
  );
  await (await armed.struck()).closed;
  await connection.closed;
  await serverDone(branch);
  assertEquals(await rowsOf(branch, "cold"), 0);
});
