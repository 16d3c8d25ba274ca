/** Clients that disconnect during a transaction, in real workerd. */
import { assertEquals } from "@std/assert";
import { trustedSql } from "../../src/db/mod.ts";
import { createUser, jsonRequest, uniqueEmail } from "../http/requests.ts";
import { leaveWhenTold } from "../support/leaving_client.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const database = await localDatabase();

/** One permit. All timeouts are longer than the test, so only the disconnect ends the transaction. */
const env = {
  DATABASE_POOL_SIZE: "1",
  DATABASE_MAX_OVERFLOW: "0",
  DATABASE_POOL_IDLE_TIMEOUT: "0.05",
  DATABASE_IDLE_TRANSACTION_TIMEOUT: "600",
  DATABASE_LOCK_TIMEOUT: "600",
  DATABASE_STATEMENT_TIMEOUT: "600",
  DATABASE_TRANSACTION_TIMEOUT: "600",
};

const hosts = await Promise.all([
  startWorkerHost(database, { name: "Worker", hasLeavingClient: true, env }),
  startWorkerHost(database, {
    name: "Worker over TCP",
    transport: "tcp",
    hasLeavingClient: true,
    env,
  }),
  startWorkerHost(database, {
    name: "Durable Object",
    hasLeavingClient: true,
    env: { ...env, DATABASE_OBJECT_SHARDS: "1" },
  }),
]);

Deno.test.afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
});

for (const host of hosts) {
  const { branch, request } = host;

  host.test("a client that disconnects during a transaction leaves no row and no connection, and its permit is released", async () => {
    const email = uniqueEmail();
    await using leave = leaveWhenTold();
    await using admin = await database.connect();
    await using session = admin.open({ ...admin.envOf("postgres"), ...env }).session();
    await session.query(trustedSql("lock table users"));
    const init = jsonRequest("POST", { email, name: "Ada" }, leave.headers);
    const left = request("/users", init);
    await untilInsertIsBlocked();
    leave.now();
    assertEquals(await (await left).text(), "left");
    // The lock is still held, so only the disconnect can have closed the connection.
    await host.quiet();
    assertEquals(await host.backends(), []);
    await session.rollback();
    assertEquals(await branch.asAdmin(`select 1 from users where email = '${email}'`), []);
    await createUser(request);
  });

  const untilInsertIsBlocked = async () => {
    const waiting = () =>
      branch.asAdmin("select 1 from pg_locks where not granted and relation = 'users'::regclass");
    while ((await waiting()).length === 0);
  };
}
