/** The alerts of `deno task alerts`, which `promtool` evaluates on the metrics of a real service through an outage. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { writeAlerts } from "../../src/dev/alerts.ts";
import { link } from "../../src/library/testing/relay/relay_link.ts";
import { Refusal, startRelay } from "../../src/library/testing/relay/relay.ts";
import { start } from "../../src/deno/service.ts";
import { PLOTS } from "../../src/ops/alerts/dashboard.ts";
import { makeScratch } from "../dev/scratch.ts";
import { localDatabase } from "../support/local_database.ts";
import {
  evaluate,
  type Expectation,
  findPromtool,
  labelled,
  SCRAPE_INTERVAL_S,
  seriesOf,
} from "../support/promtool.ts";
import { BEARER } from "../support/token.ts";

const program = await findPromtool();
const database = await localDatabase();
const rules = await Deno.readTextFile(
  new URL("../../src/ops/alerts/rules.yml", import.meta.url),
);
const TOKEN = "a-token-of-24-characters";

function promtoolTest(name: string, fn: (program: string) => Promise<void>): void {
  const reason = program === undefined
    ? " (skipped: `promtool` is not installed; Debian's package `prometheus` has it)"
    : "";
  Deno.test({ name: name + reason, ignore: program === undefined, fn: () => fn(program!) });
}

function firing(atS: number, ...names: string[]): Expectation {
  return {
    expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
    atS,
    samples: Object.fromEntries(names.map((name) => [`{alertname="UserService${name}"}`, 1])),
  };
}

interface Outage {
  /** Scrapes at an interval of 15 s of the evaluation's time; `undefined` while the service was stopped. */
  readonly scrapes: readonly (string | undefined)[];
  readonly atS: Readonly<Record<"healthy" | "down" | "back" | "queue" | "stopped", number>>;
}

/** A service that works, loses its database, gets it back, gets an event that nobody takes, and is stopped. */
async function playOutage(): Promise<Outage> {
  await using branch = await database.connect();
  let isDown = false;
  const { hostname, port } = new URL(branch.env["DATABASE_URL"]!);
  await using relay = await startRelay({
    targets: [{ hostname, port: Number(port) }],
    admit: () => isDown ? Promise.reject(new Refusal(502, "down")) : Promise.resolve(link),
  });
  const { error } = console;
  console.error = () => {};
  const service = await start({
    ...branch.env,
    DATABASE_WS_PROXY: relay.url,
    PORT: "0",
    LOG_LEVEL: "error",
    OPS_TOKEN: TOKEN,
    QUEUE_CONCURRENCY: "0",
    QUEUE_POLL_INTERVAL: "0.1",
  }, { hostname: "127.0.0.1" });
  const request = async (path: string) => {
    const response = await fetch(`${service.url}${path}`, {
      headers: path === "/metrics" ? { authorization: `Bearer ${TOKEN}` } : BEARER,
    });
    return await response.text();
  };
  const scrapes: (string | undefined)[] = [];
  const scrape = async (times: number) => {
    for (let index = 0; index < times; index++) {
      for (let turn = 0; turn < 3; turn++) await request("/users?limit=1");
      scrapes.push(await request("/metrics"));
    }
    return (scrapes.length - 1) * SCRAPE_INTERVAL_S;
  };
  try {
    const healthy = await scrape(20);
    isDown = true;
    await branch.asAdmin(
      "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'user_service' and datname = current_database()",
    );
    const down = await scrape(16);
    isDown = false;
    // The fail-fast window lasts up to half a second.
    while (
      (await fetch(`${service.url}/readyz`).then(async (r) => (await r.text(), r.status))) !== 200
    );
    const back = await scrape(24);
    await branch.asAdmin(`insert into user_events (user_id, version, type, data, occurred_at)
      values (gen_random_uuid(), 1, 'user.created', '{}', now() - interval '1 h')`);
    await branch.asAdmin(`insert into dead_letters (consumer, message_id, body, error, attempts)
      values ('activity', '1', '{}', 'an error', 5)`);
    while (!/^messaging_queue_depth 1$/m.test(await request("/metrics")));
    const queue = await scrape(16);
    scrapes.push(...Array.from({ length: 12 }, () => undefined));
    const stopped = (scrapes.length - 1) * SCRAPE_INTERVAL_S;
    return { scrapes, atS: { healthy, down, back, queue, stopped } };
  } finally {
    await service.shutdown();
    console.error = error;
    await branch.asAdmin("truncate user_events, dead_letters");
  }
}

promtoolTest(
  "through a scripted outage the right alerts fire, and none while all is well",
  async (program) => {
    const { scrapes, atS } = await playOutage();
    const expected = [
      firing(atS.healthy),
      firing(atS.down, "DatabaseUnreachable", "Errors"),
      firing(atS.back),
      firing(atS.queue, "QueueStuck", "DeadLetters"),
      firing(atS.stopped, "Down"),
    ];
    const series = seriesOf(scrapes);
    assertEquals(await evaluate(program, { rules, series, expected }), "");
    // The verdict can fail: the same metrics do not meet other expectations.
    const wrong = [firing(atS.down, "Errors")];
    assertMatch(
      await evaluate(program, { rules, series, expected: wrong }),
      /UserServiceDatabaseUnreachable/,
    );

    // Every curve of the dashboard is valid, and has values where the metrics have what it shows.
    const needsTraffic = /create_time|status_code|duration|wait_time|use_time/;
    const curves = PLOTS.flatMap(({ curves }) => Object.values(curves)).map((expr) => ({
      expr: `clamp_max(count(${
        expr.replaceAll("$job", "user-service").replaceAll("$__rate_interval", "2m")
      }), 1)`,
      atS: needsTraffic.test(expr) ? atS.down : atS.queue,
      samples: { "{}": 1 },
    }));
    assertEquals(await evaluate(program, { rules, series, expected: curves }), "");
  },
);

promtoolTest(
  "each other alert fires on its own metric, and on none of the others",
  async (program) => {
    const grows = "0+1x60";
    const full = 'http_server_request_duration_seconds_bucket{http_route="/users", le=';
    const cases: Record<string, Record<string, string>> = {
      PoolExhausted: { 'db_client_connection_refusals_total{cause="shed"}': grows },
      PoolNearlyFull: {
        'db_client_connection_count{db_client_connection_state="used"}': "49+0x60",
        "db_client_connection_max": "50+0x60",
      },
      CommitOutcomeUnknown: { 'db_client_lost_commits_total{outcome="unknown"}': "0x55 1 1 1 1 1" },
      ConnectionLeak: { "db_client_connection_leaks_total": "0x55 1 1 1 1 1" },
      HeldAndWaited: { 'db_client_connection_refusals_total{cause="held_and_waited"}': grows },
      ReplicaNotAnswering: {
        'db_replica_reads_total{replica="1", outcome="stale"}': grows,
        'db_replica_reads_total{replica="1", outcome="answered"}': "7+0x60",
        'db_replica_reads_total{replica="2", outcome="answered"}': grows,
      },
      ReplicasNotUsed: {
        'db_replica_fallbacks_total{reason="unmarked"}': grows,
        'db_replica_reads_total{replica="1", outcome="answered"}': "7+0x60",
      },
      RetriesDenied: { "db_client_retries_denied_total": grows },
      Slow: {
        [`${full}"1"}`]: "0+1x60",
        [`${full}"2.5"}`]: "0+2x60",
        [`${full}"+Inf"}`]: "0+2x60",
      },
    };
    const healthy = {
      'db_replica_reads_total{replica="1", outcome="answered"}': grows,
      'db_replica_reads_total{replica="1", outcome="stale"}': grows,
      'db_replica_fallbacks_total{reason="behind"}': grows,
      'db_replica_fallbacks_total{reason="position"}': "0+9x60",
    };
    for (const [name, given] of Object.entries(cases)) {
      const series = Object.fromEntries(
        Object.entries({ up: "1+0x60", ...given }).map(([key, values]) => [labelled(key), values]),
      );
      const expected = [firing(60 * SCRAPE_INTERVAL_S, name)];
      assertEquals(await evaluate(program, { rules, series, expected }), "", name);
    }
    const series = Object.fromEntries(
      Object.entries({ up: "1+0x60", ...healthy }).map(([key, of]) => [labelled(key), of]),
    );
    const none = [firing(60 * SCRAPE_INTERVAL_S)];
    assertEquals(await evaluate(program, { rules, series, expected: none }), "");
    const names = [...rules.matchAll(/alert: UserService(\w+)/g)].map(([, name]) => name!);
    const seen = [
      ...Object.keys(cases),
      "DatabaseUnreachable",
      "Errors",
      "QueueStuck",
      "DeadLetters",
      "Down",
    ];
    assertEquals(names.sort(), seen.sort());
  },
);

Deno.test("deno task alerts writes rules that say what to do, and a dashboard whose plots have places of their own", async () => {
  await using scratch = await makeScratch();
  const paths = await writeAlerts(join(scratch.path, "alerts"));
  assertEquals(await Deno.readTextFile(paths[0]!), rules);
  const alerts = rules.split("- alert: ").slice(1);
  for (const text of alerts) {
    assertMatch(text, /severity: (?:page|ticket)[^]*summary: "[^]*action: "/);
  }
  const { panels } = JSON.parse(await Deno.readTextFile(paths[1]!));
  assertEquals(panels.length, PLOTS.length);
  const places = panels.map(({ gridPos: { x, y } }: { gridPos: { x: number; y: number } }) =>
    `${x} ${y}`
  );
  assertEquals(new Set(places).size, panels.length);
  assert(panels.every(({ targets }: { targets: { expr: string }[] }) => targets.length > 0));
});
