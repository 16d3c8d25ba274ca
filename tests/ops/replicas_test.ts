/** What operators see of two real standbys: in `/metrics`, `/ops/pool`, on the page, in spans' hooks, and by the doctor. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { sql } from "../../src/db/mod.ts";
import { examine } from "../../src/dev/doctor/main.ts";
import { reportOf } from "../../src/dev/doctor/finding.ts";
import { migrate } from "../../src/dev/migrate.ts";
import { start } from "../../src/deno/service.ts";
import { openDatabase } from "../../src/library/deno/mod.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { ACCESS, withToken } from "../support/access.ts";
import { findChromium, startChromium } from "../support/chromium.ts";
import { localDatabase } from "../support/local_database.ts";
import { parsePrometheus } from "../support/prometheus.ts";
import { ReplicatingServer } from "../support/replicas.ts";
import { screenshots } from "./screenshots.ts";

const TOKEN = "operators-of-the-tests";
const OPERATOR = { headers: { Authorization: `Bearer ${TOKEN}` } };

async function eventually(isTrue: () => Promise<boolean>, what: string): Promise<void> {
  assert(await pollUntil(isTrue, { deadlineMs: 10_000, intervalMs: 20 }), what);
}

Deno.test({
  name: "operators see two standbys",
  timeout: 180_000,
  async fn(test) {
    const database = await localDatabase();
    await using primary = await ReplicatingServer.start();
    await migrate({
      DATABASE_URL: primary.url("user_service_owner").href,
      DATABASE_TRANSPORT: "tcp",
    });
    await using first = await primary.copy({ asStandby: true });
    await using second = await primary.copy({ asStandby: true });
    const env = {
      ...ACCESS,
      DATABASE_URL: primary.url().href,
      DATABASE_TRANSPORT: "tcp",
      DATABASE_REPLICA_URLS: [first, second].map((server) => server.url().href).join(),
      DATABASE_POOL_SIZE: "2",
      DATABASE_MAX_OVERFLOW: "1",
    };
    const written = await primary.value("select pg_current_wal_flush_lsn()::text");
    for (const server of [first, second]) {
      await server.waitFor(`select pg_last_wal_replay_lsn() >= '${written}'`);
    }

    await test.step("the doctor finds nothing wrong with them", async () => {
      const findings = await examine(env);
      assertEquals(findings.filter(({ status }) => status === "failed"), []);
      const replicas = findings.filter(({ name }) => name.startsWith("replica"));
      assertEquals(replicas.map(({ name, status }) => [name, status]), [
        ["replica 1", "ok"],
        ["replica 2", "ok"],
      ]);
      assertMatch(
        replicas[0]!.found,
        new RegExp(`^127\\.0\\.0\\.1, port ${first.port}: a standby`),
      );
      assert(!JSON.stringify(findings).includes(first.url().password));
    });

    await test.step("the doctor's own relay leads to them too", async () => {
      const findings = await examine({ ...env, DATABASE_TRANSPORT: "websocket" });
      const replicas = findings.filter(({ name }) => name.startsWith("replica"));
      assertEquals(replicas.map(({ status }) => status), ["ok", "ok"], reportOf(findings));
    });

    await test.step("the doctor says why one would answer no read", async () => {
      const replicaOf = async (url: URL, more: Record<string, string | undefined> = {}) => {
        const findings = await examine({ ...env, DATABASE_REPLICA_URLS: url.href, ...more });
        const found = findings.find(({ name }) => name.startsWith("replica"));
        assert(found !== undefined, reportOf(findings));
        assertMatch(found.advice, /^\S.+\.$/);
        return `${found.name} ${found.status} ${found.found}`;
      };
      const changed = (change: (url: URL) => void) => {
        const url = first.url();
        change(url);
        return url;
      };
      assertMatch(
        await replicaOf(changed((url) => url.port = "1")),
        /^replica 1 failed .*ECONNREFUSED/,
      );
      assertMatch(await replicaOf(changed((url) => url.password = "x")), /failed .*SQLSTATE 28P01/);
      // By another name: the settings refuse one that is plainly the primary.
      const renamed = primary.url();
      renamed.hostname = "localhost";
      assertMatch(await replicaOf(renamed), /failed .*this server is no standby$/);
      assertMatch(await replicaOf(first.url("postgres")), /failed .*superuser or has BYPASSRLS$/);
      await using branch = await database.connectDirectly();
      const { DATABASE_URL } = branch.env;
      assertMatch(await replicaOf(first.url(), { DATABASE_URL }), /failed .*of another cluster$/);

      for (
        const [revoke, grant, expected] of [
          [
            "revoke execute on function pg_control_recovery() from public",
            "grant execute on function pg_control_recovery() to public",
            /failed .*may not execute pg_control_recovery\(\)$/,
          ],
          [
            "revoke select on user_activity from user_service",
            "grant select on user_activity to user_service",
            /failed .*may not read user_activity$/,
          ],
          [
            "revoke execute on function pg_control_system() from public",
            "grant execute on function pg_control_system() to public",
            /^replicas failed .*pg_control_system\(\) on the primary$/,
          ],
        ] as const
      ) {
        await primary.run(revoke);
        let seen = "";
        const isSeen = async () => expected.test(seen = await replicaOf(first.url()));
        const isFound = await pollUntil(isSeen, { deadlineMs: 10_000, intervalMs: 20 });
        await primary.run(grant);
        assert(isFound, `${revoke}: ${seen}`);
      }
      await first.run("select pg_wal_replay_pause()");
      await first.waitFor("select pg_get_wal_replay_pause_state() = 'paused'");
      await primary.run("insert into effects values ('unseen')");
      assertMatch(
        await replicaOf(first.url(), { DATABASE_REPLICA_MAX_STALENESS: "0.2" }),
        /^replica 1 advice .*a standby, which is \d+ bytes behind after 200 ms$/,
      );
      await first.run("select pg_wal_replay_resume()");
    });

    await test.step("an observer is told which of them each flight goes to", async () => {
      const flights: (number | undefined)[] = [];
      await using db = openDatabase({
        url: primary.url().href,
        transport: "tcp",
        replicas: { urls: [first.url().href, second.url().href], maxStalenessMs: 60_000 },
        observer: {
          transaction: () => ({
            flight(_, replica) {
              flights.push(replica?.port);
              return () => {};
            },
            ended() {},
          }),
        },
      });
      const after = await db.transaction(async (session) => {
        await session.commit([sql`insert into effects values ('observed')`]);
        return session.position;
      });
      const ports = new Set<unknown>();
      await eventually(async () => {
        const statement = sql<{ port: number }>`select inet_server_port() as port`;
        flights.length = 0;
        const [[row]] = await db.session({ readOnly: true, replica: { after } }).commit([
          statement,
        ]);
        assertEquals(flights.at(-1) ?? primary.port, row!.port);
        ports.add(row!.port);
        return ports.has(first.port) && ports.has(second.port);
      }, "both have answered");
    });

    const service = await start({
      ...env,
      DATABASE_REPLICA_MAX_STALENESS: "60",
      OPS_TOKEN: TOKEN,
      PORT: "0",
      LOG_LEVEL: "error",
      QUEUE_CONCURRENCY: "0",
    }, { hostname: "127.0.0.1" });
    await using _service = { [Symbol.asyncDispose]: () => service.shutdown() };
    const create = async (email: string) => {
      const body = JSON.stringify({ email, name: email });
      const response = await fetch(`${service.url}/users`, {
        ...withToken({ method: "POST", headers: { "Content-Type": "application/json" } }),
        body,
      });
      await response.body?.cancel();
      return response.headers.get("Database-Position")!;
    };
    const list = async (position?: string) => {
      const headers = position === undefined ? {} : { "Database-Position": position };
      const response = await fetch(`${service.url}/users`, withToken({ headers }));
      await response.body?.cancel();
      assertEquals(response.status, 200);
    };
    const texts: string[] = [];
    const get = async (path: string) => {
      const text = await (await fetch(`${service.url}${path}`, OPERATOR)).text();
      texts.push(text);
      return text;
    };
    const metrics = async () => await parsePrometheus(await get("/metrics"));
    const readsOf = (values: Map<string, number>, replica: number) =>
      values.get(`db_replica_reads_total{replica="${replica}",outcome="answered"}`)!;

    await test.step("/metrics has their places, reads, connections and lag", async () => {
      const before = await metrics();
      assertEquals(before.get('db_replica_lag_bytes{replica="1"}'), undefined, "nothing is known");
      for (const [place, server] of [first, second].entries()) {
        const labels = `replica="${
          place + 1
        }",server_address="127.0.0.1",server_port="${server.port}"`;
        assertEquals(before.get(`db_replica_info{${labels}}`), 1);
        assertEquals(before.get(`db_replica_connection_max{replica="${place + 1}"}`), 3);
      }
      await create("ann@example.com");
      await eventually(async () => {
        await list();
        const values = await metrics();
        return readsOf(values, 1) > 0 && readsOf(values, 2) > 0;
      }, "both have answered");
      const values = await metrics();
      for (const replica of ["1", "2"]) {
        const of = (name: string, more = "") =>
          values.get(`db_replica_${name}{replica="${replica}"${more}}`);
        assertEquals(of("connection_count", ',db_client_connection_state="idle"'), 1);
        assertEquals(of("left_out"), 0);
        assert(of("lag_bytes")! >= 0);
        assert(of("lag_age_seconds")! < 30);
      }
    });

    await test.step("a paused one is behind, and the primary answers for the reason that is counted", async () => {
      for (const server of [first, second]) {
        await server.run("select pg_wal_replay_pause()");
        await server.waitFor("select pg_get_wal_replay_pause_state() = 'paused'");
      }
      const position = await create("bob@example.com");
      const before = (await metrics()).get('db_replica_fallbacks_total{reason="behind"}')!;
      for (let times = 0; times < 5; times++) await list(position);
      const values = await metrics();
      assertEquals(values.get('db_replica_fallbacks_total{reason="behind"}'), before + 5);
      for (const replica of [1, 2]) {
        assert(values.get(`db_replica_lag_bytes{replica="${replica}"}`)! > 0);
      }
    });

    await test.step("one that is gone is left out until it answers", async () => {
      await second.stop({ immediately: true });
      const leftOut = async () => (await metrics()).get('db_replica_left_out{replica="2"}');
      await eventually(async () => {
        await list();
        return await leftOut() === 1;
      }, "the second is left out");
      const { stats, connections, replicas } = JSON.parse(await get("/ops/pool"));
      assert(connections.length > 0);
      assertEquals(replicas.length, 2);
      assertEquals(replicas[0].connections[0].state, "idle");
      assertStringIncludes(replicas[1].lastConnectError, "ECONNREFUSED");
      assertEquals(stats.replicas[1].address, { host: "127.0.0.1", port: second.port });
      assertEquals(stats.replicas.map(({ isLeftOut }: { isLeftOut: boolean }) => isLeftOut), [
        false,
        true,
      ]);
      assert(stats.replicas[0].lag.bytes > 0);
      assert(stats.replicaFallbacks.behind >= 5);
    });

    await test.step("the page shows them", async () => {
      const program = await findChromium();
      // CI has Chromium.
      if (program === undefined) return;
      await using browser = await startChromium(program);
      await browser.open(`${service.url}/ops`);
      await browser.fill("#token", TOKEN);
      await browser.click("button[type=submit]");
      await browser.waitFor(`document.querySelector("#live")?.textContent === "Live"`);
      const textOf = (selector: string) =>
        browser.evaluate<string>(`document.querySelector(${JSON.stringify(selector)}).innerText`);
      assertEquals(await textOf("#verdict"), "A replica has failed");
      assertMatch(
        await textOf("#diagnostics"),
        new RegExp(`reads of replica 2, 127.0.0.1:${second.port}: .*ECONNREFUSED`),
      );
      const cells = await browser.evaluate<string[][]>(
        `[...document.querySelectorAll("#replica-rows tr")].map((row) =>
          [...row.cells].slice(0, 4).map((cell) => cell.innerText))`,
      );
      assertEquals(cells.map(([number, server, state]) => [number, server, state]), [
        ["1", `127.0.0.1:${first.port}`, "answers"],
        ["2", `127.0.0.1:${second.port}`, "has failed"],
      ]);
      assertMatch(cells[0]![3]!, /^[\d.]+ k?B$/);
      assertStringIncludes(await textOf("#connection-rows"), "replica 1");
      assertStringIncludes(await textOf("#count-groups"), "replicas too far behind");
      await screenshots(browser, "replicas");
    });

    await test.step("one that has come back answers, and none of these texts holds a password", async () => {
      await first.run("select pg_wal_replay_resume()");
      await second.start();
      await eventually(async () => {
        await list();
        return (await metrics()).get('db_replica_left_out{replica="2"}') === 0;
      }, "the second is back");
      for (const server of [primary, first, second]) {
        assert(texts.every((text) => !text.includes(server.url().password)));
      }
    });
  },
});
