/** The fault relay: what it counts, delays, freezes, refuses, cuts and answers itself, on a real server. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
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
  answer,
  BEGIN,
  COMMIT,
  COMMIT_EXECUTE,
  COMMITTED,
  delay,
  dropAfter,
  dropBefore,
  type Fault,
  freeze,
  halfClose,
  hold,
  mutate,
  pass,
  type Point,
  refuse,
  trickle,
} from "./fault_relay.ts";
import { localDatabase } from "./local_database.ts";

const faultTest = faultTestsOn(await localDatabase());

faultTest(
  "without faults a flight is one message of the client, and the relay counts everything",
  async (branch) => {
    const connection = await connect(branch);
    await connection.flight([statement("begin"), insert("a"), statement("commit")]);
    const [seen] = branch.relay.connections;
    assertEquals(seen!.traffic.toServer.chunks, 2);
    assertEquals(seen!.count("Parse"), 3);
    assertEquals(seen!.count("ParseComplete"), 3);
    assertEquals(seen!.count("Sync"), 1);
    assertEquals(seen!.count("ReadyForQuery"), 2);
    assertEquals(seen!.count("Unknown"), 0);
    assertEquals(branch.relay.openConnections, [seen!]);
    await connection.close({ timeoutMs: 5_000 });
    await seen!.closed;
    assertEquals(seen!.count("Terminate"), 1);
    assertEquals(branch.relay.openConnections, []);
    assert(seen!.openedMs! < seen!.closedMs!);
  },
);

faultTest("the relay distinguishes SCRAM's messages from a password", async (branch) => {
  const connection = await connect(branch, "user_service_scram");
  await connection.close({ timeoutMs: 5_000 });
  const [seen] = branch.relay.connections;
  const kinds = ["SASLInitialResponse", "SASLResponse", "Password", "Unknown"] as const;
  assertEquals(kinds.map((kind) => seen!.count(kind)), [1, 1, 0, 0]);
});

faultTest("a frozen connection passes nothing until it is thawed", async (branch) => {
  const connection = await connect(branch);
  const armed = branch.relay.when(COMMIT, freeze());
  const flight = connection.flight([statement("begin"), insert("frozen"), statement("commit")]);
  const seen = await armed.struck();
  assertEquals(await rowsOf(branch, "frozen"), 0);
  assertEquals(connection.state, "busy");
  seen.thaw();
  assertEquals((await flight).status, "I");
  assertEquals(await rowsOf(branch, "frozen"), 1);
  await connection.close({ timeoutMs: 5_000 });
});

faultTest(
  "a client that closes a frozen connection leaves its backend running until the thaw",
  async (branch) => {
    const connection = await connect(branch);
    const [seen] = branch.relay.connections;
    seen!.freeze();
    const lost = assertRejects(() => connection.flight([statement("select 1")]));
    await connection.close({ timeoutMs: 50 });
    await lost;
    assertEquals(await backends(branch), 1);
    assertEquals(seen!.state, "open");
    seen!.thaw();
    await seen!.closed;
    await connection.closed;
  },
);

faultTest("close() ends frozen, held and half-closed connections", async (branch) => {
  const [frozen, held, halved] = [
    await connect(branch),
    await connect(branch),
    await connect(branch),
  ];
  const { relay } = branch;
  relay.connections[0]!.freeze();
  const holding = relay.when({ connection: 2, kind: "Sync" }, hold());
  const halving = relay.when({ connection: 3, kind: "Sync" }, halfClose("toServer"));
  const lost = [frozen, held, halved].map((connection) =>
    assertRejects(() => connection.flight([statement("select 1")]), ConnectionLostError)
  );
  await Promise.all([holding.struck(), halving.struck()]);
  await relay.close();
  await Promise.all(lost);
  await Promise.all(relay.connections.map(({ closed }) => closed));
});

faultTest("a dial is refused with an HTTP status, or reset", async (branch) => {
  for (const how of [503, 502, "reset"] as const) {
    const armed = branch.relay.when({ at: "dial" }, refuse(how));
    await assertRejects(() => connect(branch), ConnectError);
    const seen = await armed.struck();
    await seen.closed;
    assertEquals(seen.openedMs, undefined);
  }
  assertEquals(await backends(branch), 0);
  await (await connect(branch)).close({ timeoutMs: 5_000 });
});

faultTest(
  "a held dial goes on when it is released, and ends as its client has given up",
  async (branch) => {
    const armed = branch.relay.when({ at: "dial" }, hold());
    await assertRejects(() => connect(branch, "user_service", 100), ConnectError, "within 100 ms");
    const seen = await armed.struck();
    assertEquals([seen.state, await backends(branch)], ["dialling", 0]);
    armed.release();
    await seen.closed;
  },
);

faultTest("close() ends a held dial", async (branch) => {
  const armed = branch.relay.when({ at: "dial" }, hold());
  const refused = assertRejects(() => connect(branch), ConnectError);
  const seen = await armed.struck();
  await branch.relay.close();
  await Promise.all([refused, seen.closed]);
});

faultTest("an upgrade followed by silence fails the connect at its deadline", async (branch) => {
  const armed = branch.relay.when({ at: "upgrade" }, freeze());
  await assertRejects(() => connect(branch, "user_service", 100), ConnectError, "within 100 ms");
  const seen = await armed.struck();
  assertEquals(seen.state, "open");
  assertEquals(seen.traffic.toServer.chunks, 0);
});

faultTest("a connection is cut right after its upgrade", async (branch) => {
  branch.relay.when({ at: "upgrade" }, dropBefore());
  await assertRejects(() => connect(branch), ConnectError);
});

faultTest("whole connections pass byte by byte in each direction", async (branch) => {
  for (const direction of ["toServer", "toClient"] as const) {
    branch.relay.when({ direction, times: Infinity }, trickle());
  }
  for (const role of ["user_service", "user_service_scram"] as const) {
    const connection = await connect(branch, role);
    const { results } = await connection.flight([statement("select 'slowly' as how")]);
    assertEquals(results[0]?.rows, [{ how: "slowly" }]);
    await connection.close({ timeoutMs: 5_000 });
  }
});

faultTest("a delay and the latencies of both directions add up", async (branch) => {
  const connection = await connect(branch);
  branch.relay.when({ kind: "Sync" }, delay(40));
  branch.relay.latencyMs.toServer = 20;
  branch.relay.latencyMs.toClient = 20;
  const started = performance.now();
  await connection.flight([statement("select 1")]);
  assert(performance.now() - started >= 75);
  await connection.close({ timeoutMs: 5_000 });
});

faultTest("a mutated message arrives in place of the original", async (branch) => {
  const connection = await connect(branch);
  branch.relay.when(
    { kind: "DataRow" },
    mutate((bytes) => {
      bytes[bytes.length - 1] = "2".charCodeAt(0);
      return bytes;
    }),
  );
  const { results } = await connection.flight([statement("select 1 as value")]);
  assertEquals(results[0]?.rows, [{ value: 2 }]);
  await connection.close({ timeoutMs: 5_000 });
});

faultTest("faults strike by connection and by number, until they are cleared", async (branch) => {
  const { relay } = branch;
  const [one, two] = [await connect(branch), await connect(branch)];
  const second = relay.when({ connection: 2, kind: "Parse", nth: 2 }, dropBefore());
  const odd = relay.when({ connection: ({ id }) => id % 2 === 1, kind: "Sync", times: 2 }, pass());
  const never = relay.when({ kind: "Sync" }, dropBefore());
  never.clear();
  for (let flight = 0; flight < 3; flight++) await one.flight([statement("select 1")]);
  await two.flight([statement("select 1")]);
  await assertRejects(() => two.flight([statement("select 1")]), ConnectionLostError);
  assertEquals([second.strikes, odd.strikes, never.strikes], [1, 2, 0]);
  assertEquals((await second.struck()).id, 2);
  const error = await assertRejects(() => never.struck({ timeoutMs: 1 }), Error);
  assertStringIncludes(error.message, "0 were seen at its point, message");
  relay.when({ kind: "Sync" }, dropBefore());
  relay.clear();
  await one.flight([statement("select 1")]);
  await one.close({ timeoutMs: 5_000 });
  await two.closed;
});

faultTest("close() rejects with the error that a fault has thrown", async (branch) => {
  const connection = await connect(branch);
  const broken = () => {
    throw new TypeError("broken fault");
  };
  branch.relay.when({ kind: "Sync" }, mutate(broken));
  await assertRejects(() => connection.flight([statement("select 1")]), ConnectionLostError);
  await assertRejects(() => branch.relay.close(), TypeError, "broken fault");
  await connection.closed;
});

/** Each is one cut in the flight `[begin, insert, commit]`, and the rows that it leaves. */
const cuts: [what: string, point: Point, fault: Fault, rows: number][] = [
  ["COMMIT never reached the server", COMMIT, dropBefore(), 0],
  ["COMMIT was bound only", COMMIT, dropAfter(), 0],
  ["COMMIT was executed", COMMIT_EXECUTE, dropAfter(), 1],
  ["COMMIT was executed, with a reset", COMMIT_EXECUTE, dropAfter({ reset: true }), 1],
  ["BEGIN never reached the server", BEGIN, dropBefore(), 0],
  ["the whole flight was sent", { kind: "Sync", statement: /commit/ }, dropAfter(), 1],
  ["the server had committed", COMMITTED, dropBefore(), 1],
  ["the server had begun", { kind: "ParseComplete", statement: /insert/ }, dropAfter(), 1],
  [
    "only ReadyForQuery was missing",
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

faultTest("a flight has begun if a ParseComplete passed before the cut", async (branch) => {
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

faultTest("a server whose client's stream ends rolls back", async (branch) => {
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
  "a client whose server's stream ends gives up, although COMMIT was done",
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

faultTest("the flight of a pipelined login is cut before its COMMIT", async (branch) => {
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

faultTest("an ERROR in place of COMMIT rolls back", async (branch) => {
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

faultTest("a FATAL in the flight of a pipelined login comes after the login", async (branch) => {
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

faultTest("an ERROR can replace any message of a flight", async (branch) => {
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
