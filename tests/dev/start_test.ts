/** `deno task start`, with nothing but the permissions that it gives itself. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { migrate } from "../../src/dev/migrate.ts";
import { permissionsOf } from "../../src/dev/permissions.ts";
import { startStack } from "../../src/dev/stack.ts";
import { TcpHop } from "../support/tcp_hop.ts";
import { type CheckoutCopy, copyCheckout } from "./checkout_copy.ts";
import { BEARER } from "../support/token.ts";

function startTest(name: string, fn: (checkout: CheckoutCopy) => Promise<void>): void {
  const withCheckout = async () => {
    await using checkout = await copyCheckout();
    await fn(checkout);
  };
  Deno.test({ name, fn: withCheckout, timeout: 60_000 });
}

async function urlOf({ output }: { output: { next(line: RegExp): Promise<string> } }) {
  return JSON.parse(await output.next(/"event":"listening"/)).url as string;
}

startTest(
  "deno task start serves with the permissions of its settings, which .env holds",
  async (checkout) => {
    await using stack = await startStack({}, { ephemeral: true });
    await migrate(stack.ownerEnv);
    // A name, so that the permission is one for a name too.
    const relay = stack.env["DATABASE_WS_PROXY"]!.replace("127.0.0.1", "localhost");
    const lines = Object.entries({
      ...stack.env,
      DATABASE_WS_PROXY: relay,
      OPS_TOKEN: "t".repeat(16),
    })
      .filter(([name]) => /^DATABASE_|^OPS_/.test(name));
    await Deno.writeTextFile(
      join(checkout.path, ".env"),
      lines.map(([name, value]) => `${name}="${value}"\n`).join(""),
    );
    await using service = checkout.task("start");
    const url = await urlOf(service);
    assertEquals((await (await fetch(`${url}/readyz`)).json()).status, "ready");
    const created = await fetch(`${url}/users`, {
      method: "POST",
      headers: { ...BEARER, "content-type": "application/json" },
      body: JSON.stringify({ email: "ada@example.com", name: "Ada" }),
    });
    assertEquals([created.status, (await created.json()).name], [201, "Ada"]);
    const page = await fetch(`${url}/docs`);
    assertEquals(page.status, 200);
    assertMatch(await page.text(), /API reference/);
    const metrics = await fetch(`${url}/metrics`, {
      headers: { authorization: `Bearer ${"t".repeat(16)}` },
    });
    assertMatch(await metrics.text(), /^messaging_queue_depth \d/m);
    service.signal("SIGTERM");
    assertEquals(await service.ended, 0);
    assertEquals(service.errors.text, "");
  },
);

startTest(
  "deno task start serves over TCP and a Unix socket with the permissions of its settings",
  async (checkout) => {
    await using stack = await startStack({}, { ephemeral: true });
    await migrate(stack.ownerEnv);
    const url = new URL(stack.env["DATABASE_URL"]!);
    const path = join(checkout.path, `.s.PGSQL.${url.port}`);
    await using _hop = await TcpHop.to(url.href, { path });
    // Names, so that the permission is one for a name too.
    const address = `localhost:${url.port}/user_service`;
    for (const target of [address, `${address}?host=${checkout.path}`]) {
      await using service = checkout.task("start", {
        DATABASE_URL: `postgresql://${url.username}:${url.password}@${target}`,
      });
      assertEquals((await (await fetch(`${await urlOf(service)}/readyz`)).json()).status, "ready");
      service.signal("SIGTERM");
      assertEquals(await service.ended, 0);
      assertEquals(service.errors.text, "");
    }
  },
);

startTest(
  "deno task start says what is wrong with its settings, and asks for nothing",
  async (checkout) => {
    await using service = checkout.task("start", {
      DATABASE_URL: "postgresql://nobody",
      PORT: "x",
    });
    assertEquals(await service.ended, 1);
    await service.errors.rest();
    assertMatch(service.errors.text, /^Cannot start with these settings as they have 2 problem/);
  },
);

startTest("every task reads .env as deno task start does", async (checkout) => {
  const lines = [
    "OPS_TOKEN=too-short",
    "DATABASE_URL=postgresql://app:pa$WORD@db/main",
    "LOG_LEVEL='$WORD'",
    'DATABASE_WS_PROXY="x#y" # a comment',
    "export PORT=many#1",
    "QUEUE_CONCURRENCY=a\\$b",
    "SHUTDOWN_TIMEOUT=file",
  ];
  await Deno.writeTextFile(join(checkout.path, ".env"), lines.join("\n"));
  const problems: string[] = [];
  for (const name of ["start", "migrate", "queue"]) {
    await using run = checkout.task(name, { WORD: "/word", SHUTDOWN_TIMEOUT: "process" });
    assertEquals(await run.ended, 1, name);
    problems.push(await run.errors.rest());
  }
  assertMatch(problems[0]!, /SHUTDOWN_TIMEOUT as .* current value "process"/);
  assertMatch(problems[0]!, /LOG_LEVEL as .* current value "\$WORD"/);
  assertMatch(problems[0]!, /QUEUE_CONCURRENCY as .* current value "a\$b"/);
  assertMatch(problems[0]!, /DATABASE_URL as it is not a URL/);
  assertEquals(problems[1], problems[0]);
  assertEquals(problems[2], problems[0]);
});

Deno.test("the service may read its own variables, listen on its port and reach its database, nothing else", () => {
  const flags = (env: Record<string, string>) => permissionsOf(env).map(({ flag }) => flag);
  const neon = "postgresql://user:secret@ep-x.eu-central-1.aws.neon.tech/db?sslmode=require";
  assertEquals(flags({ DATABASE_URL: neon }).slice(1), [
    "--allow-net=0.0.0.0:8000,ep-x.eu-central-1.aws.neon.tech:443",
    "--ignore-env",
    "--no-prompt",
  ]);
  assertMatch(flags({ DATABASE_URL: neon })[0]!, /^--allow-env=DATABASE_URL,[A-Z_,]+$/);
  const relayed = { DATABASE_URL: "postgresql://user:secret@db/app", PORT: "81" };
  for (
    const [relay, address] of [
      ["ws://127.0.0.1:7000/v1/abc", "127.0.0.1:7000"],
      ["ws://[::1]:7000/v1", "[::1]:7000"],
      ["ws://relay/v1", "relay:80"],
      ["wss://relay.example/v1", "relay.example:443"],
    ] as const
  ) {
    const [, net] = flags({ ...relayed, DATABASE_WS_PROXY: relay });
    assertEquals(net, `--allow-net=0.0.0.0:81,${address}`);
  }
  const replicas = ["one", "two/app?sslrootcert=/etc/ca.pem", "two:6000", "db/other"].map((each) =>
    `postgresql://user:secret@${each.includes("/") ? each : `${each}/app`}`
  ).join();
  assertEquals(
    flags({ DATABASE_URL: "postgresql://user:secret@db/app", DATABASE_REPLICA_URLS: replicas })
      .slice(1, 3),
    ["--allow-net=0.0.0.0:8000,db:5432,one:5432,two:5432,two:6000", "--allow-read=/etc/ca.pem"],
  );
  assert(!flags({}).some((flag) => flag.startsWith("--allow-net")));
  assert(!flags(relayed).join().includes("secret"));
  const socket = "/run/pg/.s.PGSQL.5432";
  const ofSocket = [`net=0.0.0.0:8000,unix:${socket}`, `read=${socket}`, `write=${socket}`];
  const tcp: readonly [host: string, allowed: readonly string[]][] = [
    ["db/app", ["net=0.0.0.0:8000,db:5432"]],
    ["[::1]:6000/app", ["net=0.0.0.0:8000,[::1]:6000"]],
    ["db/app?sslrootcert=/etc/ca.pem", ["net=0.0.0.0:8000,db:5432", "read=/etc/ca.pem"]],
    ["db/app?sslrootcert=system", ["net=0.0.0.0:8000,db:5432"]],
    // The shell that splits the output would take it for two options.
    ["db/app?sslrootcert=/x%20--allow-all", ["net=0.0.0.0:8000,db:5432"]],
    ["db/app?sslrootcert=/x,/", ["net=0.0.0.0:8000,db:5432"]],
    ["%2Frun%2Fpg/app", ofSocket],
    ["localhost/app?host=/run/pg", ofSocket],
  ];
  for (const [host, allowed] of tcp) {
    assertEquals(flags({ DATABASE_URL: `postgresql://user:secret@${host}` }).slice(1), [
      ...allowed.map((each) => `--allow-${each}`),
      "--ignore-env",
      "--no-prompt",
    ]);
  }
});
