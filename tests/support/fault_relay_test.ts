import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ConnectError, ConnectionLostError } from "../../src/db/errors.ts";
import { backends, connect, faultTestsOn, insert, rowsOf, statement } from "./fault_fixture.ts";
import {
  COMMIT,
  delay,
  dropBefore,
  freeze,
  halfClose,
  hold,
  mutate,
  pass,
  refuse,
  trickle,
} from "./fault_relay.ts";
import { localDatabase } from "./local_database.ts";

const faultTest = faultTestsOn(await localDatabase());

faultTest(
  "without faults, a flight is one message of the client, and everything is counted",
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

faultTest("SCRAM's messages are told apart", async (branch) => {
  const connection = await connect(branch, "user_service_scram");
  await connection.close({ timeoutMs: 5_000 });
  const [seen] = branch.relay.connections;
  const kinds = ["SASLInitialResponse", "SASLResponse", "Password", "Unknown"] as const;
  assertEquals(kinds.map((kind) => seen!.count(kind)), [1, 1, 0, 0]);
});

faultTest("a frozen connection hears nothing until it is thawed", async (branch) => {
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

faultTest("a client that leaves while frozen leaves a ghost behind", async (branch) => {
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
});

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
  "a held dial goes on when released, and finds that its client has given up",
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

faultTest("whole connections trickle byte by byte, each way", async (branch) => {
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

faultTest("a delayed message, and latency each way, take their time", async (branch) => {
  const connection = await connect(branch);
  branch.relay.when({ kind: "Sync" }, delay(40));
  branch.relay.latencyMs.toServer = 20;
  branch.relay.latencyMs.toClient = 20;
  const started = performance.now();
  await connection.flight([statement("select 1")]);
  assert(performance.now() - started >= 75);
  await connection.close({ timeoutMs: 5_000 });
});

faultTest("a mutated message is what arrives", async (branch) => {
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

faultTest("faults choose by connection, by number and until cleared", async (branch) => {
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

faultTest("what a fault throws comes out of close()", async (branch) => {
  const connection = await connect(branch);
  const broken = () => {
    throw new TypeError("broken fault");
  };
  branch.relay.when({ kind: "Sync" }, mutate(broken));
  await assertRejects(() => connection.flight([statement("select 1")]), ConnectionLostError);
  await assertRejects(() => branch.relay.close(), TypeError, "broken fault");
  await connection.closed;
});
