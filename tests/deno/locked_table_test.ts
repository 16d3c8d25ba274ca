/** Requests that wait for one lock, which is held for longer than a request may wait for a connection. */
import { assertEquals } from "@std/assert";
import { start } from "../../src/deno/service.ts";
import { localDatabase } from "../support/local_database.ts";
import { BEARER, TOKEN_LINE } from "../support/token.ts";
import { sentTogether } from "./sent_together.ts";

const database = await localDatabase();

const REQUESTS = 100;

const SHED_TARGET_S = 0.2;
/** Less than `TURN_TIMEOUT_MS`, after which requests no longer wait in front of the pool. */
const LOCKED_S = 0.6;

for (const server of ["guarded", "plain"]) {
  Deno.test(`reads that have begun to wait for a lock are not refused: HTTP_SERVER=${server}`, async () => {
    await using branch = await database.connect();
    const id = crypto.randomUUID();
    await branch.asAdmin(
      `insert into users (id, email, name) values ('${id}', '${id}@b.c', 'Ann')`,
    );
    const service = await start({
      ...branch.env,
      PORT: "0",
      LOG_LEVEL: "error",
      QUEUE_CONCURRENCY: "0",
      HTTP_SERVER: server,
      DATABASE_POOL_SIZE: "2",
      DATABASE_MAX_OVERFLOW: "0",
      DATABASE_POOL_SHED_TARGET: String(SHED_TARGET_S),
    }, { hostname: "127.0.0.1" });
    const path = `/users/${id}`;
    const request =
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${TOKEN_LINE}\r\n`;
    const warmUp = async () => {
      const response = await fetch(service.url + path, { headers: BEARER });
      await response.body?.cancel();
    };
    try {
      for (let n = 0; n < 20; n++) await Promise.all([warmUp(), warmUp()]);
      const locked = branch.asAdmin(
        `do $$ begin lock table users; perform pg_sleep(${LOCKED_S}); end $$`,
      );
      const isHeld = "select from pg_locks where relation = 'users'::regclass and granted " +
        "and mode = 'AccessExclusiveLock'";
      while ((await branch.asAdmin(isHeld)).length === 0);
      const requests = Array.from({ length: REQUESTS }, () => request);
      using clients = sentTogether(Number(new URL(service.url).port), requests);
      const statuses = (await clients.answers).map((answer) => answer.slice(9, 12));
      await locked;
      assertEquals(statuses.filter((status) => status !== "200"), []);
    } finally {
      await service.shutdown();
    }
  });
}
