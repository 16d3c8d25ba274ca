/** Access to `/metrics` and `/ops` of the whole service, and the limits on them. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { createApp } from "../../src/http/app.ts";
import { start } from "../../src/deno/service.ts";
import { guard } from "../../src/ops/guard.ts";
import { HttpMetrics } from "../../src/ops/http_metrics.ts";
import { metricsRoute } from "../../src/ops/metrics_route.ts";
import { PoolPage } from "../../src/ops/pool_page.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { authenticator } from "../http/test_app.ts";
import { ScriptedDriver } from "../support/scripted_driver.ts";
import { relayTo, testServer } from "../support/test_server.ts";
import { BEARER, database, noGuesses, operators, serving, statusOf, TOKEN } from "./operator.ts";
import { SCOPED_TOKENS, tokens } from "../support/access.ts";
import { BEARER as CLIENT } from "../support/token.ts";

const WITHOUT_OPERATORS = JSON.stringify(
  tokens.filter(({ scopes }) => !scopes.includes("ops")),
);

const PATHS = ["/metrics", "/ops/pool", "/ops/events"];

Deno.test("without OPS_TOKEN and tokens of operators, metrics, page and events answer 404, with or without a token", async () => {
  await serving({ API_TOKENS: WITHOUT_OPERATORS }, async (get) => {
    for (const path of [...PATHS, "/ops", "/ops/sign-in", "/ops/page.js"]) {
      assertEquals(await statusOf(get(path)), 404);
      assertEquals(await statusOf(get(path, BEARER)), 404);
    }
  });
});

Deno.test("with OPS_TOKEN, metrics and events require it as a bearer token", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get) => {
    for (const path of PATHS) {
      const refused = await get(path);
      assertEquals([refused.status, (await refused.json()).status], [401, 401]);
      assertMatch(refused.headers.get("WWW-Authenticate")!, /^Bearer /);
      assertEquals(await statusOf(get(path, { Authorization: `Bearer ${TOKEN}x` })), 401);
      assertEquals(await statusOf(get(path, BEARER)), 200);
    }
  });
});

Deno.test("a token with the scope ops opens metrics, events and page, and one without it is answered 403", async () => {
  const [operator, client] = [SCOPED_TOKENS.ops, SCOPED_TOKENS["users:read"]];
  for (const env of [{}, { OPS_TOKEN: TOKEN }]) {
    await serving(env, async (get, url) => {
      for (const path of PATHS) {
        assertEquals(await statusOf(get(path, { Authorization: `Bearer ${operator}` })), 200);
        const refused = await get(path, { Authorization: `Bearer ${client}` });
        await refused.body?.cancel();
        assertEquals(refused.status, 403);
        assertEquals(
          refused.headers.get("WWW-Authenticate"),
          'Bearer error="insufficient_scope", scope="ops"',
        );
        assertEquals(await statusOf(get(path, { Authorization: `Bearer ${operator}x` })), 401);
        assertEquals(await statusOf(get(path)), 401);
      }
      const signIn = async (token: string) => {
        const body = new URLSearchParams({ token });
        return await statusOf(
          fetch(`${url}/ops/sign-in`, { method: "POST", redirect: "manual", body }),
        );
      };
      assertEquals([await signIn(operator), await signIn(client)], [303, 401]);
    });
  }
});

Deno.test("loopback clients need no token if that is allowed, except with a foreign Host header or through a proxy", async () => {
  await serving({ API_TOKENS: WITHOUT_OPERATORS }, async (get, url) => {
    for (const path of PATHS) assertEquals(await statusOf(get(path)), 200);
    const port = Number(new URL(url).port);
    assertEquals(await statusLineFor({ port, host: "rebound.example" }), "HTTP/1.1 404 Not Found");
    assertEquals(await statusLineFor({ port, host: "localhost" }), "HTTP/1.1 200 OK");
    // A proxy on this machine uses a loopback name, but its client may be remote.
    assertEquals(await statusOf(get("/metrics", { "X-Forwarded-For": "203.0.113.7" })), 404);
  }, { opensOpsToLoopback: true });
});

/** Sends the request that a browser sends after DNS rebinding: to this machine, with another site's name as Host. */
async function statusLineFor({ port, host }: { port: number; host: string }): Promise<string> {
  using socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const request = `GET /metrics HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`;
  await socket.write(new TextEncoder().encode(request));
  const answer = await new Response(socket.readable).text();
  return answer.slice(0, answer.indexOf("\r\n"));
}

Deno.test("at most 50 event streams are open at once, and a closed one makes room for another", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get, url) => {
    const watching = await Promise.all(
      Array.from({ length: 50 }, () => fetch(`${url}/ops/events`, { headers: BEARER })),
    );
    assertEquals([...new Set(watching.map(({ status }) => status))], [200]);
    const refused = await get("/ops/events", BEARER);
    assertEquals([refused.status, refused.headers.get("Retry-After")], [503, "10"]);
    await refused.body?.cancel();
    // Not by a signal: Deno's `fetch` may have collected the signal's listener.
    await watching[0]!.body!.cancel();
    const isFree = async () => await statusOf(get("/ops/events", BEARER)) === 200;
    assert(await pollUntil(isFree, { deadlineMs: 10_000, intervalMs: 100 }));
    await Promise.all(watching.slice(1).map(({ body }) => body!.cancel()));
  });
});

Deno.test("/metrics reports the queue, and everything else also while the database is unreachable", async () => {
  await using branch = await database.connect();
  const relay = await relayTo(await testServer());
  const service = await start({
    ...branch.env,
    DATABASE_WS_PROXY: relay.url,
    PORT: "0",
    LOG_LEVEL: "error",
    OPS_TOKEN: TOKEN,
    QUEUE_CONCURRENCY: "0",
    QUEUE_POLL_INTERVAL: "0.1",
  }, { hostname: "127.0.0.1" });
  const metrics = async () =>
    await (await fetch(`${service.url}/metrics`, { headers: BEARER })).text();
  try {
    await branch.asAdmin(`insert into user_events (user_id, version, type, data, occurred_at)
      select gen_random_uuid(), 1, 'user.created', '{}', now() - interval '1 h'
      from generate_series(1, 3)`);
    await branch.asAdmin(`insert into dead_letters (consumer, message_id, body, error, attempts)
      values ('activity', '1', '{}', 'an error', 5)`);
    const text = await metrics();
    assertMatch(text, /^messaging_queue_depth 3$/m);
    assertMatch(text, /^messaging_queue_oldest_age_seconds 3600\.\d+$/m);
    assertMatch(text, /^messaging_dead_letters 1$/m);
    await relay.close();
    // The cached value is reported for QUEUE_POLL_INTERVAL.
    let without = "";
    const hasExpired = async () => !(without = await metrics()).includes("messaging_queue_depth");
    assert(await pollUntil(hasExpired, { deadlineMs: 5_000, intervalMs: 100 }));
    assertMatch(without, /^db_client_connection_max 50$/m);
  } finally {
    await service.shutdown();
    await branch.asAdmin("truncate user_events, dead_letters");
  }
});

Deno.test("a scan of addresses and methods creates no more series than there are routes and statuses", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get, url) => {
    const methods = ["GET", "POST", "PROPFIND", "MKCOL", "PURGE", "SOURCE"];
    const paths = (index: number) => [
      `/${crypto.randomUUID()}`,
      `/users/${index}`,
      `/users/${index}/activity`,
      `/ops/${index}`,
      `/ops/${index}/x`,
      `/problems/${index}`,
    ];
    for (let index = 0; index < 20; index++) {
      const requests = methods.flatMap((method) =>
        paths(index).map((path) => statusOf(fetch(`${url}${path}`, { method })))
      );
      await Promise.all(requests);
    }
    // The HTTP parser knows all registered methods, and refuses others before they reach the app.
    assertEquals(await statusOf(fetch(`${url}/users`, { method: "BREW" })), 400);
    const text = await (await get("/metrics", BEARER)).text();
    const series = text.split("\n").filter((line) =>
      line.startsWith("http_server_request_duration_seconds_count")
    );
    // Three methods, because unknown ones count as _OTHER, times at most one route and status for each kind of path.
    assert(series.length <= 3 * paths(0).length, series.join("\n"));
    const total = series.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    assertEquals(total, 20 * methods.length * paths(0).length);
  });
});

Deno.test("/metrics counts requests by the route that they matched", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get) => {
    await statusOf(get("/users/019ab0d0-0000-7000-8000-000000000000", CLIENT));
    await statusOf(get("/users/019ab0d0-0000-7000-8000-000000000001", CLIENT));
    await statusOf(get("/no/such/address", CLIENT));
    const response = await get("/metrics", BEARER);
    assertEquals(response.headers.get("Cache-Control"), "no-store");
    const counts = (await response.text()).split("\n")
      .filter((line) => line.startsWith("http_server_request_duration_seconds_count"));
    assertEquals(counts, [
      'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="404",http_route="/users/:id"} 2',
      'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="404"} 1',
    ]);
  });
});

Deno.test("an event stream starts with the history, continues with snapshots, and ends at shutdown", async () => {
  let rest: ReadableStreamDefaultReader<string> | undefined;
  await serving({ OPS_TOKEN: TOKEN }, async (get) => {
    await statusOf(get("/readyz"));
    const response = await get("/ops/events", BEARER);
    assertEquals(response.headers.get("Content-Type"), "text/event-stream");
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!/event: snapshot\n.*\n\n/.test(text)) text += (await reader.read()).value ?? "";
    const [history, snapshot] = text.split("\n\n").slice(0, 2)
      .map((event) => /^event: (\w+)\ndata: (.*)$/.exec(event)!)
      .map(([, name, data]) => ({ name, data: JSON.parse(data!) }));
    assertEquals([history!.name, history!.data], ["history", []]);
    assertEquals(snapshot!.name, "snapshot");
    assert(snapshot!.data.connections.length > 0);
    assert(snapshot!.data.sample.timeMs > 0);
    rest = reader;
  });
  // The stream ends: the loop reads to its end.
  while (!(await rest!.read()).done);
});

Deno.test("the routes for operators are of the patterns that the app's router supports", async () => {
  await using db = databaseOf(poolOf(new ScriptedDriver()));
  const ending = new AbortController();
  using page = new PoolPage({
    guesses: noGuesses(),
    database: db,
    operators,
    isTrusted: () => false,
    shutdownSignal: ending.signal,
  });
  const metrics = metricsRoute({
    database: db,
    http: new HttpMetrics(),
    guard: guard({ operators }),
  });
  const app = createApp({ db, authenticator, opsRoutes: [metrics, page.routes] });
  assertEquals((await app.request("/healthz")).status, 200);
  assertEquals(app.router.name, "RegExpRouter");
});
