import { assert, assertEquals, assertFalse, assertStringIncludes, assertThrows } from "@std/assert";
import { parseEnv } from "node:util";
import { parseSettings, type Settings, SettingsError } from "../../src/settings/settings.ts";
import { variables } from "../../src/settings/schema.ts";

const NEON_URL =
  "postgresql://app:s3cret%21@ep-cool-1.eu-central-1.aws.neon.tech/main?sslmode=require&channel_binding=require";

function parse(env: Record<string, unknown>): Settings {
  return parseSettings({ DATABASE_URL: NEON_URL, ...env });
}

/** The problems of an invalid environment. */
function problemsOf(env: Record<string, unknown>): readonly string[] {
  return assertThrows(() => parse(env), SettingsError).problems;
}

/** Asserts that there is one problem, with `variable`, and returns its text. */
function problemOf(variable: string, value: unknown): string {
  const problems = problemsOf({ [variable]: value });
  assertEquals(problems.length, 1, problems.join("\n"));
  assert(problems[0]!.startsWith(`Cannot use ${variable} as `), problems[0]);
  assert(/: current .+; ./.test(problems[0]!), problems[0]);
  return problems[0]!;
}

const TOKEN_ENTRY = {
  name: "web",
  sha256: "0".repeat(64),
  scopes: ["users:read" as const],
  tenant: "acme",
};

Deno.test("parseSettings() returns the documented defaults, in milliseconds", () => {
  assertEquals(parse({}), {
    port: 8_000,
    httpServer: "guarded",
    logLevel: "info",
    shutdownTimeoutMs: 5_000,
    access: { tokens: [] },
    connections: {},
    fairUse: {},
    corsOrigins: [],
    requiresIfMatch: false,
    database: {
      url: NEON_URL,
      transport: "websocket",
      pipelineConnect: true,
      http: "auto",
      prepare: "auto",
      connectTimeoutMs: 15_000,
      retryAttempts: 4,
      pool: {
        size: 20,
        maxOverflow: 30,
        acquireTimeoutMs: 30_000,
        recycleMs: 3_600_000,
        idleTimeoutMs: 60_000,
        maxWaiters: 1_000,
        shedTargetMs: 500,
        leakThresholdMs: 60_000,
        readDepth: "auto",
      },
      session: {
        isolation: "read committed",
        statementTimeoutMs: 15_000,
        idleTransactionTimeoutMs: 4_000,
        lockTimeoutMs: 5_000,
        transactionTimeoutMs: 30_000,
      },
    },
    queue: { concurrency: 1, pollMs: 5_000 },
    objects: { shards: 0 },
  });
});

Deno.test("parseSettings() reads every variable", () => {
  const settings = parseSettings({
    DATABASE_URL: "postgres://app@db.internal:5433/main",
    DATABASE_WS_PROXY: "ws://127.0.0.1:7000/v1",
    DATABASE_POOL_SIZE: "1",
    DATABASE_MAX_OVERFLOW: "0",
    DATABASE_POOL_TIMEOUT: "0.25",
    DATABASE_POOL_RECYCLE: "-1",
    DATABASE_POOL_IDLE_TIMEOUT: "1.5",
    DATABASE_POOL_MAX_WAITERS: "0",
    DATABASE_POOL_SHED_TARGET: "0",
    DATABASE_READ_DEPTH: "8",
    DATABASE_LEAK_THRESHOLD: "0",
    DATABASE_CONNECT_TIMEOUT: "2.001",
    DATABASE_PIPELINE_CONNECT: "on",
    DATABASE_PREPARE: "off",
    DATABASE_HTTP: "off",
    DATABASE_STATEMENT_TIMEOUT: "1",
    DATABASE_IDLE_TRANSACTION_TIMEOUT: "2",
    DATABASE_LOCK_TIMEOUT: "0.5",
    DATABASE_TRANSACTION_TIMEOUT: "3",
    DATABASE_ISOLATION_LEVEL: "serializable",
    DATABASE_RETRY_ATTEMPTS: "1",
    DATABASE_OBJECT_SHARDS: "3",
    DATABASE_OBJECT_LOCATION: "weur",
    QUEUE_CONCURRENCY: "0",
    QUEUE_POLL_INTERVAL: "600",
    API_TOKENS: JSON.stringify([TOKEN_ENTRY]),
    AUTH_JWKS_URL: "https://id.example.com/jwks.json",
    AUTH_ISSUER: "https://id.example.com/",
    AUTH_AUDIENCE: "users",
    REQUIRE_IF_MATCH: "on",
    PORT: "0",
    HTTP_SERVER: "plain",
    MAX_CONNECTIONS: "300",
    MAX_CONNECTIONS_PER_CLIENT: "40",
    RATE_LIMIT_PER_ADDRESS: "300/60",
    RATE_LIMIT_PER_TOKEN: "1/1",
    MAX_REQUESTS_PER_TOKEN: "20",
    CLIENT_ADDRESS_HEADER: "X-Forwarded-For",
    CORS_ORIGINS: "https://app.example, http://localhost:5173",
    LOG_LEVEL: "debug",
    SHUTDOWN_TIMEOUT: "0",
  });
  assertEquals(settings, {
    port: 0,
    logLevel: "debug",
    shutdownTimeoutMs: 0,
    httpServer: "plain",
    access: {
      tokens: [TOKEN_ENTRY],
      jwt: {
        jwksUrl: "https://id.example.com/jwks.json",
        issuer: "https://id.example.com/",
        audience: "users",
      },
    },
    connections: { max: 300, maxPerClient: 40 },
    fairUse: {
      perAddress: { requests: 300, windowMs: 60_000 },
      perToken: { requests: 1, windowMs: 1_000 },
      maxAtOnce: 20,
      addressHeader: "X-Forwarded-For",
    },
    corsOrigins: ["https://app.example", "http://localhost:5173"],
    requiresIfMatch: true,
    database: {
      url: "postgres://app@db.internal:5433/main",
      wsProxy: "ws://127.0.0.1:7000/v1",
      transport: "websocket",
      pipelineConnect: true,
      http: "off",
      prepare: "off",
      connectTimeoutMs: 2_001,
      retryAttempts: 1,
      pool: {
        size: 1,
        maxOverflow: 0,
        acquireTimeoutMs: 250,
        recycleMs: Infinity,
        idleTimeoutMs: 1_500,
        maxWaiters: 0,
        shedTargetMs: 0,
        leakThresholdMs: 0,
        readDepth: 8,
      },
      session: {
        isolation: "serializable",
        statementTimeoutMs: 1_000,
        idleTransactionTimeoutMs: 2_000,
        lockTimeoutMs: 500,
        transactionTimeoutMs: 3_000,
      },
    },
    queue: { concurrency: 0, pollMs: 600_000 },
    objects: { shards: 3, location: "weur" },
  });
});

Deno.test("parseSettings() returns a deeply frozen value", () => {
  const settings = parse({});
  const { database } = settings;
  for (
    const part of [
      settings,
      settings.objects,
      settings.queue,
      database,
      database.pool,
      database.session,
    ]
  ) {
    assert(Object.isFrozen(part));
  }
});

Deno.test("parseSettings() treats an empty string as unset", () => {
  const empty = Object.fromEntries(Object.keys(variables.entries).map((name) => [name, ""]));
  assertEquals(parse({ ...empty, DATABASE_URL: NEON_URL }), parse({}));
});

Deno.test("parseSettings() ignores bindings that are not settings", () => {
  const bindings = { QUEUE: { send() {} }, DATABASE_URL_UNPOOLED: 1, POOL: null, toString: 1 };
  assertEquals(parse(bindings), parse({}));
});

Deno.test("parseSettings() refuses settings that are not strings", () => {
  for (const value of [8_000, true, null, {}, []]) problemOf("PORT", value);
  assert(problemOf("PORT", 8_000).includes("must be a string"));
});

Deno.test("parseSettings() reports every problem at once", () => {
  const problems = problemsOf({
    DATABASE_URL: "postgresql://app:s3cret@db.internal/main",
    DATABASE_TRANSPORT: "websocket",
    PORT: "http",
    LOG_LEVEL: "loud",
    DATABASE_POOL_SIZE: "0",
    DATABASE_LOCK_TIMEOUT: "9",
    DATABASE_STATEMENT_TIMEOUT: "8",
  });
  const named = problems.map((problem) => /^Cannot use (\w+)/.exec(problem)?.[1]);
  const expected = [
    "DATABASE_LOCK_TIMEOUT",
    "DATABASE_POOL_SIZE",
    "DATABASE_URL",
    "LOG_LEVEL",
    "PORT",
  ];
  assertEquals(named.sort(), expected);
});

Deno.test("parseSettings() requires DATABASE_URL", () => {
  const error = assertThrows(() => parseSettings({}), SettingsError);
  assert(error.message.includes("Cannot use DATABASE_URL as it is required"), error.message);
});

Deno.test("parseSettings() refuses whole numbers in another notation or out of range", () => {
  const written = [
    "1e3",
    "0x10",
    " 5",
    "5 ",
    "+5",
    "5.0",
    "05",
    "5s",
    "NaN",
    "Infinity",
    "five",
    "-1",
  ];
  for (const value of [...written, "9".repeat(400), "٣"]) {
    for (const name of ["DATABASE_POOL_SIZE", "DATABASE_MAX_OVERFLOW", "PORT"]) {
      problemOf(name, value);
    }
  }
  problemOf("DATABASE_POOL_SIZE", "0");
  problemOf("DATABASE_POOL_SIZE", "10001");
  problemOf("DATABASE_RETRY_ATTEMPTS", "0");
  problemOf("PORT", "65536");
});

Deno.test("parseSettings() refuses seconds in another notation or out of range", () => {
  const written = [
    "1e3",
    "0x10",
    " 5",
    "+5",
    "5.",
    ".5",
    "05",
    "0.0001",
    "5s",
    "NaN",
    "Infinity",
    "-1",
  ];
  for (const value of [...written, "1,5", "1.5.1", "3601"]) {
    problemOf("DATABASE_STATEMENT_TIMEOUT", value);
  }
  problemOf("DATABASE_STATEMENT_TIMEOUT", "0");
  problemOf("DATABASE_POOL_RECYCLE", "0");
  problemOf("DATABASE_POOL_RECYCLE", "-2");
});

Deno.test("parseSettings() truncates long values in its errors", () => {
  assert(problemOf("PORT", "9".repeat(5_000)).length < 300);
});

Deno.test("parseSettings() refuses words that a variable does not allow, and lists the allowed ones", () => {
  assert(problemOf("LOG_LEVEL", "Info").includes('"debug", "info", "warn", "error"'));
  problemOf("DATABASE_PIPELINE_CONNECT", "true");
  problemOf("DATABASE_PREPARE", "always");
  problemOf("DATABASE_PREPARE", "ON");
  problemOf("DATABASE_TRANSPORT", "udp");
  problemOf("DATABASE_TRANSPORT", "TCP");
  for (const value of ["0", "65", "1.5", "Auto", "off"]) {
    assert(problemOf("DATABASE_READ_DEPTH", value).includes("from 1 to 64"));
  }
  problemOf("DATABASE_ISOLATION_LEVEL", "read uncommitted");
});

Deno.test("parseSettings() refuses an explicit timeout that a shorter timeout always precedes", () => {
  const pairs = [
    ["DATABASE_LOCK_TIMEOUT", "DATABASE_STATEMENT_TIMEOUT"],
    ["DATABASE_STATEMENT_TIMEOUT", "DATABASE_TRANSACTION_TIMEOUT"],
    ["DATABASE_POOL_SHED_TARGET", "DATABASE_POOL_TIMEOUT"],
  ] as const;
  for (const [short, long] of pairs) {
    const [problem] = problemsOf({ [short]: "3", [long]: "2" });
    assert(problem?.startsWith(`Cannot use ${short} as it is longer than ${long}`), problem);
    parse({ [short]: "2", [long]: "2" });
  }
});

Deno.test("parseSettings() refuses a queue that could use every connection of the pool", () => {
  const pool = { DATABASE_POOL_SIZE: "2", DATABASE_MAX_OVERFLOW: "1" };
  const [problem] = problemsOf({ ...pool, QUEUE_CONCURRENCY: "3" });
  assert(problem?.includes("leaves no connection to requests: current value is 3"), problem);
  assertEquals(parse({ ...pool, QUEUE_CONCURRENCY: "2" }).queue.concurrency, 2);
  const single = { DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" };
  assertEquals(parse({ ...single, QUEUE_CONCURRENCY: "0" }).queue.concurrency, 0);
  parse(single);
});

Deno.test("parseSettings() accepts a default that is longer than an explicit timeout", () => {
  assertEquals(parse({ DATABASE_STATEMENT_TIMEOUT: "1" }).database.session.lockTimeoutMs, 5_000);
});

Deno.test("parseSettings() pipelines the password to Neon's hosts only, unless DATABASE_PIPELINE_CONNECT is set", () => {
  const relay = { DATABASE_WS_PROXY: "ws://127.0.0.1:7000" };
  const pipelines = (env: Record<string, string>) => parse(env).database.pipelineConnect;
  assert(pipelines({}));
  assert(pipelines({ DATABASE_URL: "postgresql://a@EP-X.NEON.TECH/b" }));
  assertFalse(pipelines({ DATABASE_URL: "postgresql://a@localhost/b", ...relay }));
  assertFalse(pipelines({ DATABASE_URL: "postgresql://a@evilneon.tech/b", ...relay }));
  assertFalse(pipelines({ DATABASE_PIPELINE_CONNECT: "off" }));
});

const ELSEWHERE = "postgresql://app:s3cret@localhost/main";

/** The only problem of these settings, on Deno or on Workers, which have no files. */
function onlyProblem(env: Record<string, string>, { hasFiles } = { hasFiles: true }): string {
  const { problems } = assertThrows(() => parseSettings(env, { hasFiles }), SettingsError);
  assertEquals(problems.length, 1, problems.join());
  assertFalse(problems[0]!.includes("s3cret"));
  return problems[0]!;
}

Deno.test("parseSettings() requires a relay for DATABASE_TRANSPORT=websocket and hosts that are not Neon's, and names ways to get one", () => {
  const env = { DATABASE_URL: ELSEWHERE, DATABASE_TRANSPORT: "websocket" };
  const problem = onlyProblem(env);
  for (
    const way of ["DATABASE_WS_PROXY", "DATABASE_TRANSPORT", "deno task relay", "deno task dev"]
  ) {
    assert(problem.includes(way), problem);
  }
});

Deno.test("parseSettings() refuses DATABASE_HTTP=on where no SQL endpoint is known", () => {
  problemOf("DATABASE_HTTP", "always");
  const env = { DATABASE_URL: ELSEWHERE, DATABASE_HTTP: "on" };
  const { problems } = assertThrows(() => parseSettings(env), SettingsError);
  assertEquals(problems.length, 1);
  assertStringIncludes(problems[0]!, "Cannot use DATABASE_HTTP as only Neon and a relay");
  for (
    const more of [{ DATABASE_WS_PROXY: "ws://127.0.0.1:1/v1" }, {
      DATABASE_URL: "postgresql://a:b@ep-x.neon.tech/c",
    }]
  ) {
    assertEquals(parseSettings({ ...env, ...more }).database.http, "on");
  }
});

Deno.test("parseSettings() refuses on Workers what needs files", () => {
  for (const query of ["sslrootcert=/ca.pem", "sslrootcert=system", "host=/var/run/postgresql"]) {
    const env = { DATABASE_URL: `${ELSEWHERE}?${query}` };
    assertStringIncludes(onlyProblem(env, { hasFiles: false }), "Hyperdrive");
    assertEquals(parseSettings(env).database.transport, "tcp");
  }
});

Deno.test("parseSettings() takes the WebSocket for Neon and relays, and TCP for other hosts", () => {
  const neon = { DATABASE_URL: "postgresql://a@EP-X.neon.tech/b?channel_binding=require" };
  const other = { DATABASE_URL: ELSEWHERE };
  const relay = { DATABASE_WS_PROXY: "ws://127.0.0.1:7000" };
  const chosen = (env: Record<string, string>) => {
    const { transport, pipelineConnect } = parseSettings(env).database;
    return [transport, pipelineConnect];
  };
  assertEquals(chosen(neon), ["websocket", true]);
  assertEquals(chosen(other), ["tcp", false]);
  assertEquals(chosen({ ...other, ...relay }), ["websocket", false]);
  assertEquals(chosen({ ...other, ...relay, DATABASE_TRANSPORT: "tcp" }), ["tcp", false]);
  // Neon asks for SCRAM on TCP.
  const tcpToNeon = { DATABASE_URL: "postgresql://a@ep-x.neon.tech/b", DATABASE_TRANSPORT: "tcp" };
  assertEquals(chosen(tcpToNeon), ["tcp", false]);
});

Deno.test("parseSettings() refuses what the URL asks for and the transport does not have", () => {
  const relay = { DATABASE_WS_PROXY: "ws://127.0.0.1:7000" };
  const cases: readonly [query: string, env: Record<string, string>, part: RegExp][] = [
    ["channel_binding=require&sslmode=disable", {}, /channel_binding=prefer/],
    ["sslrootcert=system&sslmode=require", {}, /sslmode=verify-full/],
    ["sslrootcert=/ca.pem", relay, /sslrootcert need TCP/],
    ["host=/var/run/postgresql", relay, /a Unix socket .*need TCP/],
  ];
  for (const [query, env, part] of cases) {
    const problem = onlyProblem({ DATABASE_URL: `${ELSEWHERE}?${query}`, ...env });
    assert(part.test(problem), problem);
  }
  const bound = { DATABASE_URL: `${ELSEWHERE}?channel_binding=require` };
  assertEquals(parseSettings(bound).database.transport, "tcp");
  assertStringIncludes(onlyProblem(bound, { hasFiles: false }), "Workers do not show");
});

Deno.test("parseSettings() refuses relays that are not plain ws:// or wss:// URLs", () => {
  const values = ["http://x", "ws://", "wss://x?address=y", "ws://x/#a", "ws://u:s3cret@x", "x:80"];
  // The path of `deno task relay` is a secret.
  const path = "/v1/s3cret";
  const paths = [
    "http://x",
    "x:80",
    "ws://x y",
    "ws:// ",
    "ws://x:0",
    "wss:/x:99999",
    "",
    " ws://x",
  ]
    .flatMap((start) => [`${start}${path}`, `${start}/s3cret`]);
  const others = ["ws://x y", "ws://x:0", "ws://x:99999", "wss:/x", "ws://x/v1/s3cret#a"];
  for (const value of [...values, ...paths, ...others]) {
    assertFalse(problemOf("DATABASE_WS_PROXY", value).includes("s3cret"));
  }
});

const defaults = Object.entries(variables.entries).map(([name, schema]): [string, string] => [
  name,
  ("default" in schema ? schema.default : undefined) ?? "",
]);

Deno.test("README.md of the settings lists every variable with its default, in the schema's order", async () => {
  const path = new URL("../../src/settings/README.md", import.meta.url);
  const text = await Deno.readTextFile(path);
  const rows = Array.from(
    text.matchAll(/^\| `([A-Z][A-Z_]+)` +\| (?:`([^`]+)`|(none|required)) +\| \S.* \|$/gm),
    ([, name, value, word]): [string, string] => [name!, word ?? value!],
  );
  const required = (name: string) => name === "DATABASE_URL" ? "required" : "none";
  assertEquals(rows, defaults.map(([name, value]) => [name, value || required(name)]));
  const mentioned = text.match(/\b(?:DATABASE|QUEUE|OPS|SHUTDOWN)_[A-Z_]+\b/g) ?? [];
  assertEquals(mentioned.filter((name) => !(name in variables.entries)), []);
});

Deno.test("every default of the schema is the one in .env.example, in the same order", async () => {
  const path = new URL("../../.env.example", import.meta.url);
  const text = await Deno.readTextFile(path);
  const example = parseEnv(text);
  assertEquals(Object.entries(example), defaults);
  const assignments = text.split("\n").filter((line) => /^\w+=/.test(line)).length;
  assertEquals(assignments, defaults.length);
});

const REPLICA_URL = "postgresql://app:s3cret%2C@ep-cool-2.eu-central-1.aws.neon.tech/main";

Deno.test("DATABASE_REPLICA_URLS is a list, and its staleness is in milliseconds", () => {
  assertEquals(parse({}).database.replicas, undefined);
  assertEquals(parse({ DATABASE_REPLICA_URLS: REPLICA_URL }).database.replicas, {
    urls: [REPLICA_URL],
    maxStalenessMs: 10_000,
  });
  const other = REPLICA_URL.replace("cool-2", "cool-3");
  const { replicas } = parse({
    DATABASE_REPLICA_URLS: `${REPLICA_URL}, ${other}`,
    DATABASE_REPLICA_MAX_STALENESS: "0.5",
  }).database;
  assertEquals(replicas, { urls: [REPLICA_URL, other], maxStalenessMs: 500 });
  assertEquals(parse({ DATABASE_REPLICA_MAX_STALENESS: "3" }).database.replicas, undefined);
});

Deno.test("a bad DATABASE_REPLICA_URLS is refused by the place of the URL, without showing it", () => {
  for (
    const [value, reason] of [
      [",", "of URL 1 it does not begin with postgresql://"],
      [`${REPLICA_URL},`, "of URL 2 it does not begin with postgresql://"],
      [`${REPLICA_URL},mysql://app:s3cret@host/main`, "of URL 2 it does not begin"],
      ["postgresql://app:s3,cret@host/main", "of URL 1 it is not a URL"],
      [`${REPLICA_URL},${REPLICA_URL}`, "of URL 2 it is replica 1"],
      [NEON_URL, "of URL 1 it is the primary"],
      [`${REPLICA_URL}?application_name=s3cret`, "as it has a parameter"],
      ["postgresql://app:s3cret@localhost/main", "of URL 1 its host is not Neon's"],
      [`${REPLICA_URL}?sslrootcert=s3cret.pem`, "of URL 1 a Unix socket and sslrootcert need TCP"],
    ] as const
  ) {
    const problem = problemOf("DATABASE_REPLICA_URLS", value);
    assertStringIncludes(problem, reason);
    assertFalse(problem.includes("s3"), problem);
  }
  for (const value of ["0", "0.05", "-1", "604801"]) {
    problemOf("DATABASE_REPLICA_MAX_STALENESS", value);
  }
});

Deno.test("replicas are refused where they would not answer, or not be right", () => {
  for (const level of ["repeatable read", "serializable"]) {
    assertStringIncludes(
      problemsOf({ DATABASE_REPLICA_URLS: REPLICA_URL, DATABASE_ISOLATION_LEVEL: level }).join(),
      `current DATABASE_ISOLATION_LEVEL is "${level}"`,
    );
  }
  const env = { DATABASE_URL: NEON_URL, DATABASE_REPLICA_URLS: REPLICA_URL };
  const { problems } = assertThrows(
    () => parseSettings(env, { hasFiles: false }),
    SettingsError,
  );
  assertStringIncludes(problems.join(), "current runtime is Workers");
});
