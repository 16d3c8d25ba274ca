/** The model answers flights as PostgreSQL does: each is run on both, and their answers are compared. */
import { assertEquals } from "@std/assert";
import type { Connection, FlightPart, Statement } from "../../../src/db/driver/driver.ts";
import { NeonDriver, ServerError } from "../../../src/db/mod.ts";
import { DatabaseWebSocket } from "../../../src/library/deno/database_websocket.ts";
import { parseSettings } from "../../../src/settings/settings.ts";
import { localDatabase } from "../../support/local_database.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";
import { SESSION_DEFAULTS } from "../../support/test_pool.ts";
import { seededRandom } from "../random.ts";
import { ModelLink } from "./model_link.ts";
import { ModelServer } from "./model_server.ts";
import { Timeline } from "./timeline.ts";

const database = await localDatabase();

const text = (text: string, ...values: unknown[]): Statement => ({ text, values });
const insert = text(
  "insert into rows (unit, name) values ($1, $2) returning $3 as echo",
  "unit",
  "a",
  "token",
);
const series = text("select $1 as echo from generate_series(1, $2)", "token", 5);
const portal = { name: "stream_1", maxRows: 2 };
const key = text("insert into transaction_keys (key) values ($1)", "key");

const CONVERSATIONS: Readonly<Record<string, readonly (readonly FlightPart[])[]>> = {
  "a transaction": [[text("begin"), insert], [text("select $1 as echo", "b")], [text("commit")]],
  "savepoints": [
    [text("begin"), text("savepoint a"), insert, text("savepoint b")],
    [text("rollback to savepoint b"), text("release savepoint b")],
    [text("select 1/0"), insert],
    [insert],
    [text("rollback to savepoint a"), text("release savepoint a"), insert],
    [text("release savepoint a")],
    [text("rollback")],
  ],
  "a failed transaction": [
    [text("begin"), insert, text("select 1/0"), text("commit")],
    [text("select $1 as echo", "b")],
    [text("commit")],
  ],
  "commands at the wrong time": [
    [text("commit")],
    [text("ROLLBACK")],
    [text("begin"), text("begin"), insert],
    [text("ROLLBACK")],
  ],
  "portals": [
    [text("begin"), { ...series, portal }],
    [{ fetch: portal }],
    [{ fetch: portal }],
    [{ close: portal }],
    [text("select 1/0")],
    [{ fetch: portal }],
    [{ close: portal }],
    [text("rollback")],
  ],
  "a write whose tag is SELECT": [
    [
      text("begin"),
      text(
        "with written as (insert into rows (unit, name) values ($1, $2)) select $3 as echo",
        "unit",
        "a",
        "token",
      ),
    ],
    [text("commit")],
  ],
  "a key": [
    [text("begin"), key],
    [text("commit")],
    [text("begin"), key, text("commit")],
    [text("rollback")],
  ],
  "a transaction id that is still to come": [
    [text("select pg_xact_status($1::xid8) as status", "4000000000")],
  ],
};

/** What the layer reads of an answer. */
async function answersOf(
  connection: Connection,
  flights: readonly (readonly FlightPart[])[],
): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (const flight of flights) {
    const { results, error, status } = await connection.flight(flight);
    answers.push({
      results: results.map(({ command, rowCount, rows, notice, isSuspended }) => ({
        command,
        rowCount,
        rows,
        notice: notice?.code,
        isSuspended,
      })),
      error: error instanceof ServerError ? `${error.sqlState} ${error.constraint}` : error,
      status,
    });
  }
  return answers;
}

async function modelAnswersOf(flights: readonly (readonly FlightPart[])[]): Promise<unknown[]> {
  const timeline = new Timeline({ strikes: [], onStrike: () => {} });
  const server = new ModelServer(timeline);
  const links: ModelLink[] = [];
  const driver = new ScriptedDriver({
    onConnect(connection) {
      const link = new ModelLink(connection, 1, {
        server,
        timeline,
        timeouts: SESSION_DEFAULTS,
        connectTimeoutMs: 1_000,
        pipelined: false,
        random: seededRandom(1),
      });
      links.push(link);
      return link.open();
    },
    serve: (parts) => links[0]!.send(parts),
  });
  let answers: unknown[] | undefined;
  const conversation = driver.connect({ timeoutMs: 1_000 })
    .then((connection) => answersOf(connection, flights))
    .then((all) => answers = all);
  await timeline.runUntil(() => answers !== undefined, { withinMs: 10_000 });
  await conversation;
  assertEquals(timeline.violations, []);
  return answers!;
}

Deno.test("the model of the server answers as PostgreSQL does", async (test) => {
  await using branch = await database.connect();
  await branch.asAdmin("create table rows (unit text, name text)");
  await branch.asAdmin("grant all on rows to user_service");
  const driver = new NeonDriver({
    ...parseSettings(branch.env).database,
    webSocketConstructor: DatabaseWebSocket,
  });
  for (const [name, flights] of Object.entries(CONVERSATIONS)) {
    await test.step(name, async () => {
      const connection = await driver.connect({ timeoutMs: 15_000 });
      const answers = await answersOf(connection, flights);
      await connection.close({ timeoutMs: 1_000 });
      assertEquals(await modelAnswersOf(flights), answers);
    });
  }
});
