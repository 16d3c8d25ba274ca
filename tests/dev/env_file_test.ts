/** `.env`: every task reads it, `dev` again when it changes, and none changes a database elsewhere unasked. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { join } from "node:path";
import { mayMigrate } from "../../src/dev/migration_consent.ts";
import { startRelay } from "../../src/library/testing/relay/relay.ts";
import { startPostgres } from "../../src/dev/postgres.ts";
import { type CheckoutCopy, copyCheckout, DEV_BEARER } from "./checkout_copy.ts";
import { echo, Peer } from "../support/relay_peers.ts";

function envTest(name: string, fn: (checkout: CheckoutCopy) => Promise<void>): void {
  const withCheckout = async () => {
    await using checkout = await copyCheckout();
    await fn(checkout);
  };
  Deno.test({ name, fn: withCheckout, timeout: 60_000 });
}

const NEON = "postgresql://user:secret@ep-x.eu-central-1.aws.neon.tech/db";
const LOCAL = "postgresql://user:secret@localhost/db";

Deno.test("only a database of this machine is migrated unasked", () => {
  const addresses = [
    "127.0.0.1:5432/db",
    "[::1]/db",
    "%2Frun%2Fpg/db",
    "localhost/db?host=/run/pg",
  ];
  for (const url of [LOCAL, ...addresses.map((address) => `postgresql://u:p@${address}`)]) {
    assertEquals(mayMigrate({ DATABASE_URL: url }, []), true);
    assertEquals(
      mayMigrate({ DATABASE_URL: url, DATABASE_WS_PROXY: "ws://localhost:1/v1" }, []),
      true,
    );
  }
  assertEquals(mayMigrate({}, []), true);
  const elsewhere: [string, string | undefined, string][] = [
    [NEON, undefined, "ep-x.eu-central-1.aws.neon.tech"],
    [NEON, "ws://127.0.0.1:1/v1", "ep-x.eu-central-1.aws.neon.tech"],
    ["postgresql://u:secret@10.0.0.5/db", undefined, "10.0.0.5"],
    ["postgresql://u:secret@localhost.example.com/db", undefined, "localhost.example.com"],
    // Such a relay dials its own localhost.
    [LOCAL, "wss://relay.example.com/v1", "relay.example.com"],
  ];
  for (const [DATABASE_URL, relay, host] of elsewhere) {
    const env = { DATABASE_URL, DATABASE_WS_PROXY: relay };
    const { message } = assertThrows(() => mayMigrate(env, []), Error, "--no-migrate");
    assert(message.includes(`leads to ${host},`), message);
    assert(!message.includes("secret"), message);
    assertEquals(mayMigrate(env, ["--migrate"]), true);
    assertEquals(mayMigrate(env, ["--no-migrate"]), false);
  }
  assertThrows(() => mayMigrate({}, ["--migrat"]), Error, "current value --migrat");
  assertThrows(() => mayMigrate({}, ["--migrate", "--no-migrate"]), Error, "use --migrate");
});

envTest("deno task dev does not touch a database elsewhere unless it is told", async (checkout) => {
  let reached = 0;
  await using database = new Peer(async (connection) => {
    reached++;
    await echo(connection);
  });
  await using relay = await startRelay({ targets: database.targets });
  const env = { DATABASE_URL: NEON, DATABASE_WS_PROXY: relay.url };
  await using dev = checkout.dev(env);
  assertEquals(await dev.ended, 1);
  await dev.errors.rest();
  assertMatch(dev.errors.text, /^Cannot start as the database may be in use by others/);
  assertEquals(reached, 0);
});

envTest("deno task migrate changes the database that .env names", async (checkout) => {
  await using postgres = await startPostgres({ ephemeral: true });
  await using relay = await startRelay({
    targets: [{ hostname: "127.0.0.1", port: postgres.port }],
  });
  await Deno.writeTextFile(
    join(checkout.path, ".env"),
    `# a comment\nDATABASE_URL="${postgres.url({ role: "user_service_owner" })}"\n` +
      `export DATABASE_WS_PROXY=${relay.url} # the relay\nDATABASE_PIPELINE_CONNECT='on'\n`,
  );
  assertMatch((await checkout.run("migrate.ts")).text, /^Applied 0001_users, /);
  assertMatch((await checkout.run("migrate.ts")).text, /^Nothing to do/);
  assertMatch((await checkout.run("queue.ts")).text, /^waiting +0$/m);
});

envTest("deno task dev starts again with the new .env when the file changes", async (checkout) => {
  const file = join(checkout.path, ".env");
  await using dev = checkout.dev();
  await dev.ready();
  await Deno.writeTextFile(file, "DATABASE_POOL_SIZE=3\nDATABASE_MAX_OVERFLOW=4\n");
  await dev.output.next(/^The file .env has changed/);
  const { url } = await dev.ready();
  const maximum = async (base: string) =>
    /^db_client_connection_max (\d+)$/m.exec(await (await fetch(`${base}/metrics`)).text())?.[1];
  assertEquals(await maximum(url), "7");
  await Deno.remove(file);
  await dev.output.next(/^The file .env has changed/);
  assertEquals(await maximum((await dev.ready()).url), "50");
  dev.signal("SIGTERM");
  assertEquals(await dev.ended, 0);
});

envTest(
  "what .env holds for Deno itself reaches the service of deno task dev",
  async (checkout) => {
    const exported = Promise.withResolvers<string>();
    await using collector = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        await request.body?.cancel();
        exported.resolve(new URL(request.url).pathname);
        return new Response();
      },
    );
    await Deno.writeTextFile(
      join(checkout.path, ".env"),
      `OTEL_DENO=true\nOTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:${collector.addr.port}\n` +
        "OTEL_BSP_SCHEDULE_DELAY=100\nOTEL_BLRP_SCHEDULE_DELAY=100\n",
    );
    await using dev = checkout.dev();
    const { url } = await dev.ready();
    await (await fetch(`${url}/users`, { headers: DEV_BEARER })).body?.cancel();
    assertMatch(await exported.promise, /^\/v1\//);
  },
);
