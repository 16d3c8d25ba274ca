/** The whole service over a primary and a standby that replays nothing when the test says so. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { migrate } from "../../src/dev/migrate.ts";
import { start } from "../../src/deno/service.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { ACCESS, OTHER_TOKENS, withToken } from "../support/access.ts";
import { AnswerLog } from "../support/openapi.ts";
import { ReplicatingServer } from "../support/replicas.ts";

const POSITION = /^[0-9A-F]{8}-00000001-[0-9A-F]{16}$/;

const answers = new AnswerLog();

Deno.test.afterAll(() => answers.assertDocumented());

Deno.test({
  name: "a client that brings the Database-Position of its changes never reads less, and others do",
  timeout: 120_000,
  async fn(test) {
    await using primary = await ReplicatingServer.start();
    const owner = {
      DATABASE_URL: primary.url("user_service_owner").href,
      DATABASE_TRANSPORT: "tcp",
    };
    await migrate(owner);
    await using standby = await primary.copy({ asStandby: true });
    const service = await start({
      ...ACCESS,
      DATABASE_URL: primary.url().href,
      DATABASE_TRANSPORT: "tcp",
      DATABASE_REPLICA_URLS: standby.url().href,
      DATABASE_REPLICA_MAX_STALENESS: "60",
      OPS_TOKEN: "operators-of-the-tests",
      CORS_ORIGINS: "https://app.example",
      PORT: "0",
      LOG_LEVEL: "error",
      QUEUE_CONCURRENCY: "0",
    }, { hostname: "127.0.0.1" });
    await using _service = { [Symbol.asyncDispose]: () => service.shutdown() };
    const request = answers.watch((path, init) => fetch(`${service.url}${path}`, withToken(init)));
    const send = async (method: string, path: string, body?: unknown, headers = {}) => {
      const response = await request(path, {
        method,
        headers: { "Content-Type": "application/json", ...headers },
        ...body !== undefined && { body: JSON.stringify(body) },
      });
      return {
        status: response.status,
        position: response.headers.get("Database-Position"),
        etag: response.headers.get("ETag") ?? "",
        exposed: response.headers.get("Access-Control-Expose-Headers"),
        body: await response.text(),
      };
    };
    const get = (path: string, position?: string | null, headers = {}) =>
      send("GET", path, undefined, {
        ...position && { "Database-Position": position },
        ...headers,
      });
    const nameOf = ({ body }: { body: string }) => JSON.parse(body).name;

    const created = await send("POST", "/users", { email: "ann@example.com", name: "Ann" });
    const { id } = JSON.parse(created.body);
    const path = `/users/${id}`;
    assertMatch(created.position!, POSITION);
    // Until the standby answers.
    const reads = async () => {
      await get(path, created.position);
      return Number(
        /^db_replica_reads_total\{[^}]*answered[^}]*\} (\d+)$/m.exec(await metrics())?.[1],
      );
    };
    const metrics = async () => {
      const headers = { Authorization: "Bearer operators-of-the-tests" };
      return await (await fetch(`${service.url}/metrics`, { headers })).text();
    };
    assert(
      await pollUntil(async () => await reads() > 0, { deadlineMs: 10_000, intervalMs: 20 }),
      await metrics(),
    );

    await standby.run("select pg_wal_replay_pause()");
    await standby.waitFor("select pg_get_wal_replay_pause_state() = 'paused'");
    const changed = await send("PATCH", path, { name: "Anna" });
    assertMatch(changed.position!, POSITION);
    assert(changed.position! > created.position!);

    await test.step("users", async () => {
      assertEquals(nameOf(await get(path)), "Ann", "without the position");
      assertEquals(nameOf(await get(path, created.position)), "Ann", "with an earlier one");
      assertEquals(nameOf(await get(path, changed.position)), "Anna");
      assertEquals((await get(path, changed.position)).position, null);
    });

    await test.step("304", async () => {
      const old = { "If-None-Match": created.etag };
      assertEquals((await get(path, null, old)).status, 304);
      assertEquals((await get(path, changed.position, old)).status, 200);
      const now = { "If-None-Match": changed.etag };
      assertEquals((await get(path, changed.position, now)).status, 304);
      assertEquals((await get(path, null, { "If-Match": changed.etag })).status, 200);
    });

    await test.step("lists and histories", async () => {
      const other = await send("POST", "/users", { email: "bob@example.com", name: "Bob" });
      const count = async (position?: string | null) =>
        JSON.parse((await get("/users", position)).body).users.length;
      assertEquals([await count(), await count(other.position)], [1, 2]);
      const page = JSON.parse((await get("/users?limit=1", other.position)).body);
      assertEquals(
        JSON.parse((await get(`/users?limit=1&cursor=${page.next}`, other.position)).body)
          .users.length,
        1,
      );
      const found = await get("/users?email=bob%40example.com", other.position);
      assertEquals(JSON.parse(found.body).users.length, 1);
      assertEquals((await get(`${path}/activity`, other.position)).status, 200);
      const batch = await send("POST", "/users:batch", {
        users: [{ email: "cleo@example.com", name: "Cleo" }],
      });
      assertEquals([await count(), await count(batch.position)], [1, 3]);
      const { id: cleo } = JSON.parse(batch.body).results[0].user;
      const deleted = await send("DELETE", `/users/${cleo}`);
      assertMatch(deleted.position!, POSITION);
      assertEquals(await count(deleted.position), 2);
    });

    await test.step("changes that fail or are repeated", async () => {
      const taken = await send("POST", "/users", { email: "ann@example.com", name: "Ann" });
      assertEquals([taken.status, taken.position], [409, "primary"]);
      assertEquals(nameOf(await get(path, "primary")), "Anna");
      const stale = await send("PATCH", path, { name: "No" }, { "If-Match": created.etag });
      assertEquals(stale.status, 412);
      assertMatch(stale.position!, POSITION);
      const invalid = await send("POST", "/users", { email: "no" });
      assertEquals([invalid.status, invalid.position], [422, null]);
      const nothing = await send("POST", "/users:batch", { users: [{ email: "no", name: "" }] });
      assertEquals([nothing.status, nothing.position], [200, null]);
      const key = { "Idempotency-Key": '"once"' };
      const once = () => send("POST", "/users", { email: "dan@example.com", name: "Dan" }, key);
      assertMatch((await once()).position!, POSITION);
      const again = await once();
      assertEquals([again.status, again.position], [201, "primary"]);
    });

    await test.step("positions of clients' own making", async () => {
      const future = changed.position!.replace(/[0-9A-F]{16}$/, "FFFFFFFFFFFFFFFF");
      assertEquals(nameOf(await get(path, future)), "Anna");
      for (const bad of ["0/1", "x".repeat(4_000), `${changed.position}, ${changed.position}`]) {
        const refused = await get(path, bad);
        assertEquals(refused.status, 400);
        assertEquals(JSON.parse(refused.body).errors[0].header, "Database-Position");
      }
      const none = await request(path, {
        headers: { Authorization: "", "Database-Position": "x" },
      });
      await none.body?.cancel();
      assertEquals(none.status, 401);
    });

    await test.step("pages of other origins", async () => {
      const { exposed } = await get(path, null, { Origin: "https://app.example" });
      assert(exposed!.split(", ").includes("Database-Position"));
      const preflight = await fetch(`${service.url}${path}`, {
        method: "OPTIONS",
        headers: { Origin: "https://app.example", "Access-Control-Request-Method": "GET" },
      });
      const allowed = preflight.headers.get("Access-Control-Allow-Headers")!;
      assert(allowed.split(", ").includes("Database-Position"));
    });

    await test.step("another tenant's users stay hidden on the standby", async () => {
      const headers = { Authorization: `Bearer ${OTHER_TOKENS.acme}` };
      assertEquals((await get(path, null, headers)).status, 404);
      assertEquals(nameOf(await get(path)), "Ann");
    });

    await standby.run("select pg_wal_replay_resume()");
    await standby.stop({ immediately: true });
    assertEquals(nameOf(await get(path)), "Anna", "the standby is gone");
  },
});
