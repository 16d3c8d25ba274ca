/** A consumer whose work is aborted reports nothing more, and what it reports otherwise. */
import { assertEquals } from "@std/assert";
import { type Database, PoolClosedError, sql } from "../../src/db/mod.ts";
import { Consumer, type KeyedMessage, type MessageFailure } from "../../src/queue/consumer.ts";
import type { Delivery } from "../../src/queue/transport.ts";
import { localDatabase } from "../support/local_database.ts";

type Transactions = Pick<Database, "transaction">;

function consumerOf(db: Transactions, name = "abort") {
  const failures: MessageFailure[] = [];
  const { consume } = new Consumer<KeyedMessage>({
    db,
    name,
    parse(body) {
      if (body === "invalid") throw new Error("it is invalid");
      return body as KeyedMessage;
    },
    handler: (messages) => messages.map(({ id }) => sql`select ${id}::text`),
    onFailure: (failure) => failures.push(failure),
  });
  return { consume, failures };
}

function deliver(body: unknown, attempts: number, outcomes: string[]): Delivery {
  return {
    id: "1",
    body,
    attempts,
    ack: () => void outcomes.push("ack"),
    retry: () => void outcomes.push("retry"),
  };
}

/** A database whose every transaction aborts the work and fails with the error. */
function aborting(error: Error) {
  const work = new AbortController();
  let transactions = 0;
  const transaction = (() => {
    transactions++;
    work.abort();
    return Promise.reject(error);
  }) as Database["transaction"];
  return { db: { transaction }, signal: work.signal, transactions: () => transactions };
}

const OUTAGE = new PoolClosedError("Cannot get a connection as the pool is closed");
const OWN = new Error("aborted");

for (
  const [what, body, attempts, error] of [
    ["first attempts that found no connection", { id: "1" }, 1, OUTAGE],
    ["first attempts that failed", { id: "1" }, 1, OWN],
    ["later attempts that found no connection", { id: "1" }, 2, OUTAGE],
    ["later attempts that failed", { id: "1" }, 2, OWN],
    ["last attempts that failed", { id: "1" }, 5, OWN],
    ["invalid messages that found no connection", "invalid", 1, OUTAGE],
    ["invalid messages that failed", "invalid", 1, OWN],
  ] as const
) {
  Deno.test(`after an abort ${what} get no outcome, and those behind them are not tried`, async () => {
    const { db, signal, transactions } = aborting(error);
    const { consume, failures } = consumerOf(db);
    const outcomes: string[] = [];
    await consume([deliver(body, attempts, outcomes), deliver({ id: "2" }, 2, outcomes)], {
      signal,
    });
    assertEquals([outcomes, failures, transactions()], [[], [], 1]);
  });
}

Deno.test("a failure of several messages is reported once, with the highest of their attempts", async () => {
  const db = { transaction: (() => Promise.reject(OUTAGE)) as Database["transaction"] };
  const { consume, failures } = consumerOf(db);
  const outcomes: string[] = [];
  await consume([3, 9, 4].map((attempts) => deliver({ id: "1" }, attempts, outcomes)));
  // The first one was tried, and its failure put off the other two.
  assertEquals(failures.map(({ attempts, messageIds }) => [attempts, messageIds.length]), [
    [3, 1],
    [9, 2],
  ]);
});

Deno.test("consumers of different names each process a message once", async () => {
  const database = await localDatabase();
  await using branch = await database.connect();
  const db = branch.open();
  const outcomes: string[] = [];
  for (const name of ["one", "two", "one"]) {
    await consumerOf(db, name).consume([deliver({ id: "7" }, 2, outcomes)]);
  }
  assertEquals(outcomes, ["ack", "ack", "ack"]);
  const keys = await branch.asAdmin("select key from transaction_keys order by key");
  assertEquals(keys, [{ key: "one 7" }, { key: "two 7" }]);
});
