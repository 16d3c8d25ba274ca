/** Flights of several callers on one connection: each is a transaction of its own, written behind the one before. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import type { Connection, FlightAnswer, Notice, Statement } from "../../../src/db/driver/driver.ts";
import { ConnectionLostError, ServerError } from "../../../src/db/errors.ts";
import { NeonDriver, type PrepareMode } from "../../../src/db/mod.ts";
import type { Env } from "../../support/branch.ts";
import { type LocalBranch, localDatabase } from "../../support/local_database.ts";
import { pgBouncerTest } from "../../support/pgbouncer_case.ts";
import { WireLog } from "../../support/wire_log.ts";

const database = await localDatabase();

const BEGIN: Statement = { text: "begin read only", values: [], isStatic: true };
const COMMIT: Statement = { text: "commit", values: [], isStatic: true, syncsBefore: true };

let texts = 0;

/** A text that this process has not sent before. */
function fresh(text: string): string {
  return `${text} /* shared ${++texts} */`;
}

interface Place {
  readonly branch: LocalBranch;
  readonly connection: Connection;
  /** Reads in a transaction of its own, and shares the connection. */
  read(text: string, values?: unknown[]): Promise<FlightAnswer>;
  readonly log: WireLog;
}

async function connect(
  { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy }: Env,
  prepare: PrepareMode = "auto",
): Promise<Pick<Place, "connection" | "read">> {
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true, prepare });
  const connection = await driver.connect({ timeoutMs: 5_000 });
  const read = (text: string, values: unknown[] = []) =>
    connection.flight([BEGIN, { text, values }, COMMIT], { isShared: true });
  return { connection, read };
}

/** A test on one connection that has found out whether it is direct. */
function onConnection(name: string, test: (place: Place) => Promise<void>): void {
  Deno.test(name, async () => {
    const log = new WireLog();
    await using branch = await database.connect({ observe: log.observe });
    const { connection, read } = await connect(branch.env);
    try {
      await read("select 1");
      log.take();
      await test({ branch, connection, read, log });
    } finally {
      await connection.close({ timeoutMs: 5_000 });
    }
  });
}

/** The rows of the one statement; the error if there is one. */
async function outcomeOf(answer: Promise<FlightAnswer>): Promise<unknown> {
  const { results, error, status } = await answer;
  assertEquals(status, "I");
  return error ?? results[1]!.rows;
}

onConnection("flights of one turn go out as one message, in their order", async (place) => {
  const { read, log, connection } = place;
  const text = fresh("select $1::int as n");
  const outcomes = await Promise.all([1, 2, 3].map((n) => outcomeOf(read(text, [n]))));
  assertEquals(outcomes, [[{ n: 1 }], [{ n: 2 }], [{ n: 3 }]]);
  assertEquals([connection.state, connection.status], ["idle", "I"]);
  assertEquals(log.take().length, 1);
});

onConnection(
  "an error is that of its own flight, and leaves no transaction open",
  async (place) => {
    const { read, connection } = place;
    const [before, failed, behind] = await Promise.all([
      outcomeOf(read("select 1 as n")),
      read("select 1/0"),
      outcomeOf(read("select 2 as n")),
    ]);
    assertEquals([before, behind], [[{ n: 1 }], [{ n: 2 }]]);
    assertInstanceOf(failed.error, ServerError);
    assertEquals(failed.results.map(({ command }) => command), ["BEGIN"]);
    assertEquals([failed.status, connection.status], ["I", "I"]);
  },
);

onConnection("an error behind rows, at COMMIT, keeps the rows out of others", async ({ read }) => {
  const [failed, behind] = await Promise.all([
    read("select 6 / (3 - n) as n from generate_series(1, 3) as n"),
    outcomeOf(read("select 7 as n")),
  ]);
  assertInstanceOf(failed.error, ServerError);
  assertEquals(failed.results.length, 1);
  assertEquals(behind, [{ n: 7 }]);
});

onConnection("a statement is parsed in each flight until a Parse is answered", async (place) => {
  const { read, log } = place;
  const text = fresh("select $1::int as n");
  await read(text, [0]);
  log.take();
  // The first one's Parse is skipped.
  const [failed, ...others] = await Promise.all([
    place.connection.flight(
      [BEGIN, { text: "select 1/0", values: [] }, { text, values: [1] }, COMMIT],
      { isShared: true },
    ),
    outcomeOf(read(text, [2])),
    outcomeOf(read(text, [3])),
  ]);
  assertInstanceOf(failed.error, ServerError);
  assertEquals(others, [[{ n: 2 }], [{ n: 3 }]]);
  assertEquals(await outcomeOf(read(text, [4])), [{ n: 4 }]);
  const parsed = log.takeNames("Parse").filter(([, sent]) => sent === text);
  assertEquals(parsed.length, 3);
});

onConnection("after a migration each flight is sent again, behind the others", async (place) => {
  const { branch, read } = place;
  await branch.asAdmin("create table shared_plans (a int)");
  await branch.asAdmin("grant all on shared_plans to public");
  const text = fresh("select * from shared_plans");
  for (let turn = 0; turn < 3; turn++) assertEquals(await outcomeOf(read(text)), []);
  await branch.asAdmin("alter table shared_plans add b int");
  await branch.asAdmin("insert into shared_plans values (1, 2)");
  const outcomes = await Promise.all([
    outcomeOf(read(text)),
    outcomeOf(read("select 5 as n")),
    outcomeOf(read(text)),
  ]);
  assertEquals(outcomes, [[{ a: 1, b: 2 }], [{ n: 5 }], [{ a: 1, b: 2 }]]);
});

onConnection("notices go to the flight that they belong to", async ({ connection }) => {
  const notices = [1, 2].map((n) => {
    const texts: (string | undefined)[] = [];
    const text = `do $$ begin raise notice 'of ${n}'; end $$`;
    const onNotice = ({ message }: Notice) => void texts.push(message);
    const answer = connection.flight([BEGIN, { text, values: [] }, COMMIT], {
      isShared: true,
      onNotice,
    });
    return answer.then(() => texts);
  });
  assertEquals(await Promise.all(notices), [["of 1"], ["of 2"]]);
});

onConnection("the end of the connection rejects each flight for itself", async (place) => {
  const { branch, connection, read } = place;
  const running = [read("select 1 as n"), read("select pg_sleep(60)"), read("select 2 as n")];
  running.forEach((flight) => flight.catch(() => {}));
  assertEquals((await running[0]!).results.length, 3);
  await branch.asAdmin(`select pg_terminate_backend(${connection.processId})`);
  const [head, behind] = await Promise.all(
    running.slice(1).map((flight) => assertRejects(() => flight, ConnectionLostError)),
  );
  assert(head!.sent && head!.begun);
  assert(behind!.sent && !behind!.begun);
  assertEquals(behind!.answered, []);
});

onConnection("a flight that is not shared waits for no other, and none joins it", async (place) => {
  const { connection, read } = place;
  const alone = [{ text: "select 1 as n", values: [] }];
  const shared = read("select 2 as n");
  const refusal = await assertRejects(() => connection.flight(alone), TypeError);
  assertMatch(refusal.message, /busy with another/);
  assertEquals(await outcomeOf(shared), [{ n: 2 }]);
  const running = connection.flight(alone);
  await assertRejects(() => read("select 3"), TypeError, "busy with another");
  assertEquals((await running).results[0]!.rows, [{ n: 1 }]);
});

for (const prepare of ["auto", "on"] as const) {
  pgBouncerTest(`flights of many callers keep their rows (prepare: ${prepare})`, async (branch) => {
    const clients = await Promise.all(
      Array.from({ length: 8 }, () => connect(branch.env, prepare)),
    );
    let next = 0;
    await Promise.all(clients.map(async ({ read }) => {
      for (let turn = 0; turn < 20; turn++) {
        const numbers = Array.from({ length: 8 }, () => ++next);
        const outcomes = await Promise.all(
          numbers.map((n) => outcomeOf(read("select $1::int as n, 1 / ($1::int % 5) as x", [n]))),
        );
        for (const [k, n] of numbers.entries()) {
          if (n % 5 === 0) assertInstanceOf(outcomes[k], ServerError);
          else assertEquals(outcomes[k], [{ n, x: n % 5 === 1 ? 1 : 0 }]);
        }
      }
    }));
    await Promise.all(clients.map(({ connection }) => connection.close({ timeoutMs: 5_000 })));
    assertEquals((await branch.leftovers()).filter((what) => !what.includes("prepared")), []);
  });
}
