import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Observer, sql } from "../../src/db/mod.ts";
import { localDatabase } from "../support/local_database.ts";
import { createUser } from "./requests.ts";
import { testApp } from "./test_app.ts";

const database = await localDatabase();

/** The metrics of a response, in milliseconds. */
function timesOf({ headers }: Response): Record<string, number> {
  const metrics = headers.get("Server-Timing")?.split(", ") ?? [];
  return Object.fromEntries(metrics.map((metric) => {
    assertMatch(metric, /^[a-z]+;dur=\d+\.\d$/);
    const [name, ms] = metric.split(";dur=");
    return [name!, Number(ms)];
  }));
}

Deno.test("Server-Timing tells what a request has waited for", async () => {
  await using branch = await database.connect();
  const app = testApp({ db: branch.open(), showsTimes: true });
  const path = `/users/${(await createUser(app.request)).id}`;
  const warm = timesOf(await app.request(path));
  assert(warm["db"]! > 0 && warm["total"]! >= warm["db"]!, JSON.stringify(warm));
  assertEquals(warm["connect"], undefined);

  const cold = testApp({ db: branch.open(), showsTimes: true });
  const { connect, total } = timesOf(await cold.request(path));
  assert(connect! > 0 && total! >= connect!);
});

Deno.test("Server-Timing shows the wait for a connection, also of a request that got none", async () => {
  await using branch = await database.connect();
  const db = branch.open({
    DATABASE_POOL_SIZE: "1",
    DATABASE_MAX_OVERFLOW: "0",
    DATABASE_POOL_TIMEOUT: "0.1",
  });
  const app = testApp({ db, showsTimes: true });
  await using holder = db.session();
  await holder.query(sql`select 1`);
  const refused = await app.request("/users");
  assertEquals(refused.status, 503);
  const { wait, db: sent } = timesOf(refused);
  assert(wait! >= 99, `${wait}`);
  assertEquals(sent, undefined);
});

Deno.test("the database's own observer sees the request too", async () => {
  await using branch = await database.connect();
  let flights = 0;
  const counting: Observer = {
    transaction: () => ({
      flight: () => {
        flights++;
        return () => {};
      },
      ended() {},
    }),
  };
  const db = branch.open().forRequest(counting);
  const response = await testApp({ db, showsTimes: true }).request("/users");
  assertEquals(response.status, 200);
  assert(timesOf(response)["db"]! >= 0);
  assertEquals(flights, 1);
});

Deno.test("without it a response says nothing of times", async () => {
  await using branch = await database.connect();
  const response = await testApp({ db: branch.open() }).request("/users");
  assertEquals(response.headers.get("Server-Timing"), null);
});
