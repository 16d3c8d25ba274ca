/** Requests with their own sockets, in real workerd. */
import { assert, assertEquals } from "@std/assert";
import { createUser, jsonRequest, uniqueEmail } from "../http/requests.ts";
import { delay, hold } from "../support/fault_relay.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const env = {
  DATABASE_POOL_SIZE: "2",
  DATABASE_MAX_OVERFLOW: "0",
  // The pool sheds no request, however slow the machine is.
  DATABASE_POOL_SHED_TARGET: "0",
  // The pool closes no connection for being idle: only the end of its request does.
  DATABASE_POOL_IDLE_TIMEOUT: "3600",
};

const database = await localDatabase();

const hosts = await Promise.all([
  startWorkerHost(database, { name: "Worker", env }),
  startWorkerHost(database, { name: "Worker over TCP", env, transport: "tcp" }),
  startWorkerHost(database, { name: "Worker by Hyperdrive", env, hasHyperdrive: true }),
]);
const [host] = hosts;
const { branch: { relay }, request } = host;

Deno.test.afterAll(async () => {
  await Promise.all(hosts.map((each) => each.stop()));
});

host.test("500 consecutive requests are answered, and none hangs", async () => {
  const { id } = await createUser(request);
  for (let count = 0; count < 500; count++) {
    const response = await request(`/users/${id}`, { signal: AbortSignal.timeout(20_000) });
    assertEquals([response.status, (await response.json()).id], [200, id]);
  }
});

host.test("all requests in the isolate share the pool's two permits", async () => {
  const { id } = await createUser(request);
  await host.quiet();
  const before = relay.connections.length;
  const answers = Array.from({ length: 20 }, () => request(`/users/${id}`));
  for (const response of await Promise.all(answers)) {
    await response.body?.cancel();
    assertEquals(response.status, 200);
  }
  await host.quiet();
  const opened = relay.connections.slice(before);
  const most = Math.max(
    ...opened.map(({ openedMs = Infinity }) =>
      opened.filter((other) => other.openedMs! <= openedMs && other.closedMs! > openedMs).length
    ),
  );
  assert(most >= 1 && most <= 2, `${most} connections were open at once`);
});

host.test("a cold read is one round trip, and so is a cold write", async () => {
  await host.quiet();
  host.takeMessages();
  const { id } = await createUser(request);
  await host.quiet();
  assertEquals(host.takeMessages(), 2, "login, BEGIN, INSERT and COMMIT in one message; Terminate");
  await (await request(`/users/${id}`)).body?.cancel();
  await host.quiet();
  assertEquals(host.takeMessages(), 2, "login, BEGIN, SELECT and COMMIT in one message; Terminate");
});

host.test("the answer does not wait for the connection to close", async () => {
  const goodbye = relay.when({ direction: "toServer", kind: "Terminate" }, hold());
  await createUser(request);
  await goodbye.struck();
  assertEquals(relay.openConnections.length, 1);
  goodbye.release();
});

host.test("a connection ends with its request, long before its idle timeout", async () => {
  const before = relay.connections.length;
  await createUser(request);
  await host.quiet();
  assertEquals(relay.connections.slice(before).map((each) => each.count("Terminate")), [1]);
  assertEquals(await host.backends(), []);
});

host.test("a refused request leaves no connection", async () => {
  const email = uniqueEmail();
  for (const status of [201, 409]) {
    const response = await request("/users", jsonRequest("POST", { email, name: "Ada" }));
    await response.body?.cancel();
    assertEquals(response.status, status);
  }
});

for (const each of hosts) {
  each.test("a request whose transaction fails ends only once its connection is closed", async () => {
    const { request, branch: { relay } } = each;
    const { id, email } = await createUser(request);
    await each.quiet();
    // Longer than the connection would wait for another session.
    relay.when(
      { direction: "toClient", kind: "CommandComplete", text: /^ROLLBACK$/, times: 2 },
      delay(100),
    );
    relay.when({ direction: "toServer", kind: "Terminate", times: 2 }, delay(100));
    const refused = () => request("/users", jsonRequest("POST", { email, name: "Ada" }));
    for (const { status, body } of await Promise.all([refused(), refused()])) {
      await body?.cancel();
      assertEquals(status, 409);
    }
    // It waits for one of the two permits. If their requests had ended, it would take one back, of which workerd warns.
    const response = await request(`/users/${id}`);
    await response.body?.cancel();
    assertEquals(response.status, 200);
  });
}
