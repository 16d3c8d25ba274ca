/** Requests with sockets of their own, in real workerd. */
import { assert, assertEquals } from "@std/assert";
import { createUser, jsonRequest, uniqueEmail } from "../http/requests.ts";
import { hold } from "../support/fault_relay.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const host = await startWorkerHost(await localDatabase(), {
  name: "Worker",
  env: {
    DATABASE_POOL_SIZE: "2",
    DATABASE_MAX_OVERFLOW: "0",
    // The pool sheds no request, however slow the machine is.
    DATABASE_POOL_SHED_TARGET: "0",
    // The pool closes no connection for being idle: only the end of its request does.
    DATABASE_POOL_IDLE_TIMEOUT: "3600",
  },
});
const { branch: { relay }, request } = host;

Deno.test.afterAll(() => host.stop());

host.test("500 requests one after the other are answered, and none hangs", async () => {
  const { id } = await createUser(request);
  for (let count = 0; count < 500; count++) {
    const response = await request(`/users/${id}`, { signal: AbortSignal.timeout(20_000) });
    assertEquals([response.status, (await response.json()).id], [200, id]);
  }
});

host.test("all requests of the isolate share the pool's two permits", async () => {
  const { id } = await createUser(request);
  await host.quiet();
  const before = relay.connections.length;
  const answers = Array.from({ length: 20 }, () => request(`/users/${id}`));
  for (const response of await Promise.all(answers)) {
    await response.body?.cancel();
    assertEquals(response.status, 200);
  }
  await host.quiet();
  const lives = relay.connections.slice(before);
  const most = Math.max(
    ...lives.map(({ openedMs = Infinity }) =>
      lives.filter((other) => other.openedMs! <= openedMs && other.closedMs! > openedMs).length
    ),
  );
  assert(most >= 1 && most <= 2, `${most} connections were open at once`);
});

host.test("a cold read is one round trip, and so is a cold write", async () => {
  await host.quiet();
  host.takeMessages();
  const { id } = await createUser(request);
  await host.quiet();
  assertEquals(host.takeMessages(), 2, "login, BEGIN, INSERT and COMMIT at once; the goodbye");
  await (await request(`/users/${id}`)).body?.cancel();
  await host.quiet();
  assertEquals(host.takeMessages(), 2, "login, BEGIN, SELECT and COMMIT at once; the goodbye");
});

host.test("the answer does not wait for the connection's end", async () => {
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

host.test("a refused request leaves no connection either", async () => {
  const email = uniqueEmail();
  for (const status of [201, 409]) {
    const response = await request("/users", jsonRequest("POST", { email, name: "Ada" }));
    await response.body?.cancel();
    assertEquals(response.status, status);
  }
});
