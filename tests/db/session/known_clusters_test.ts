/** When transactions ask for the system identifier: once for each life of a server, and in no message of its own. */
import { assertEquals } from "@std/assert";
import { type Database, OwnerScope, type Session, sql } from "../../../src/db/mod.ts";
import { KnownClusters } from "../../../src/db/session/known_clusters.ts";
import type { TransactionId } from "../../../src/db/session/xid.ts";
import { faultBranch } from "../../support/fault_branch.ts";
import { pass } from "../../support/fault_relay.ts";
import { localDatabase } from "../../support/local_database.ts";
import { type Answer, ScriptedDriver } from "../../support/scripted_driver.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";

const INSERT = sql`insert into t values (1)`;

interface ScriptedServer {
  incarnation: string;
  /** `null` if the role may not know it. */
  systemIdentifier: string | null;
  /** Ends the connection at the next COMMIT: the answer to the whole flight is lost, or only that to COMMIT. */
  loses?: "flight" | "commit" | undefined;
}

/** A database on a scripted server. `asked` lists the queries for an xid, and those for an identifier too. */
function scripted(server: ScriptedServer) {
  const asked: string[] = [];
  const lost: (TransactionId | undefined)[] = [];
  const driver = new ScriptedDriver({
    reply: ({ text }, connection): Answer => {
      const { incarnation, systemIdentifier } = server;
      const row = { 0: "1000", 1: incarnation };
      if (text.includes("pg_control_system")) {
        asked.push("identifier");
        const rows = [{ ...row, 2: systemIdentifier }];
        if (server.loses === "commit") {
          connection.answered = [{ rows, rowCount: 1, command: "SELECT" }];
        }
        return { rows };
      }
      if (text.includes("pg_current_xact_id")) {
        asked.push("xid");
        return { rows: [row] };
      }
      if (text === "commit" && server.loses !== undefined) {
        connection.cut({ begun: true });
        server.loses = undefined;
      }
      return undefined;
    },
  });
  const db = databaseOf(poolOf(driver), {
    random: () => 0,
    resolveCommit: (transactionId) => {
      lost.push(transactionId);
      return Promise.resolve({ outcome: "committed" });
    },
  });
  return { db, asked, lost };
}

const inOneFlight = (session: Session) => session.commit([INSERT]);
const inTwoFlights = async (session: Session) => {
  await session.query(INSERT);
  await session.commit();
};

Deno.test("the identifier is asked for once, whichever owner's transactions come later", async () => {
  const { db, asked } = scripted({ incarnation: "1/1", systemIdentifier: "77" });
  await using _ = db;
  const owner = (): Database =>
    db.forOwner({ scope: OwnerScope.lasting(), waitUntil: (rest) => void rest.catch(() => {}) });
  await owner().transaction(inTwoFlights);
  await owner().transaction(inOneFlight);
  await db.transaction(inOneFlight);
  assertEquals(asked, ["identifier", "xid", "xid"]);
});

Deno.test("after a restart the identifier is asked for once more, by the next transaction", async () => {
  const server = { incarnation: "1/1", systemIdentifier: "77" };
  const { db, asked } = scripted(server);
  await using _ = db;
  await db.transaction(inOneFlight);
  server.incarnation = "2/1";
  for (let turn = 0; turn < 3; turn++) await db.transaction(inOneFlight);
  assertEquals(asked, ["identifier", "xid", "identifier", "xid"]);
});

Deno.test("after a restart the identifier is asked for by the same transaction, if it has a second flight", async () => {
  const server = { incarnation: "1/1", systemIdentifier: "77" };
  const { db, asked } = scripted(server);
  await using _ = db;
  await db.transaction(inOneFlight);
  server.incarnation = "2/1";
  for (let turn = 0; turn < 2; turn++) await db.transaction(inTwoFlights);
  assertEquals(asked, ["identifier", "xid", "identifier", "xid"]);
});

Deno.test("a server that does not tell its identifier is asked once", async () => {
  const { db, asked, lost } = scripted({ incarnation: "1/1", systemIdentifier: null });
  await using _ = db;
  await db.transaction(inTwoFlights);
  await db.transaction(inOneFlight);
  assertEquals([asked, lost], [["identifier", "xid"], []]);
});

for (
  const [loses, systemIdentifier] of [["commit", "77"], ["flight", undefined]] as const
) {
  Deno.test(`a lost COMMIT keeps its xid if the ${loses}'s answer is lost with which it asked for the identifier`, async () => {
    const server: ScriptedServer = { incarnation: "1/1", systemIdentifier: "77" };
    const { db, asked, lost } = scripted(server);
    await using _ = db;
    await db.transaction(inOneFlight);
    server.incarnation = "2/1";
    server.loses = loses;
    await db.transaction(inTwoFlights);
    assertEquals(asked, ["identifier", "xid", "identifier"]);
    assertEquals(lost, [{ xid: "1000", incarnation: "2/1", systemIdentifier }]);
  });
}

Deno.test("a lost COMMIT has the identifier that another transaction has learned of the same server", async () => {
  const server: ScriptedServer = { incarnation: "1/1", systemIdentifier: "77" };
  const { db, asked, lost } = scripted(server);
  await using _ = db;
  await db.transaction(inOneFlight);
  server.incarnation = "2/1";
  await db.transaction(async (session) => {
    await session.query(INSERT);
    await db.transaction(inOneFlight);
    server.loses = "flight";
    await session.commit();
  });
  assertEquals(asked, ["identifier", "xid", "identifier"]);
  assertEquals(lost, [{ xid: "1000", incarnation: "2/1", systemIdentifier: "77" }]);
});

Deno.test("the identifiers of 16 lives of servers are known, and the oldest is forgotten first", () => {
  const clusters = new KnownClusters();
  assertEquals(clusters.mustAsk, true);
  for (let life = 1; life <= 17; life++) clusters.hear(`${life}/1`, `77${life}`);
  assertEquals([1, 2, 17].map((life) => clusters.systemIdentifier(`${life}/1`)), [
    undefined,
    "772",
    "7717",
  ]);
  assertEquals([clusters.has("1/1"), clusters.has("2/1"), clusters.mustAsk], [false, true, false]);
  clusters.hear("1/1", undefined);
  assertEquals(clusters.mustAsk, true, "a forgotten server is asked again");
});

const database = await localDatabase();

Deno.test("on PostgreSQL the identifier comes with a transaction's own flight, and once", async () => {
  await using branch = await faultBranch(database);
  const db = branch.open();
  const query = (text: RegExp) =>
    branch.relay.when(
      { direction: "toServer", kind: "Execute", statement: text, times: Infinity },
      pass(),
    );
  const identifier = query(/pg_control_system/);
  const xid = query(/pg_current_xact_id_if_assigned/);
  for (let turn = 0; turn < 3; turn++) {
    await db.transaction(async (session) => {
      await session.query(sql`select pg_current_xact_id()`);
      await session.commit();
    });
  }
  assertEquals([identifier.strikes, xid.strikes], [1, 2]);
});
