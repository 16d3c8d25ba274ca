import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { trustedSql } from "../../src/db/mod.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { startPostgres } from "../../src/dev/postgres.ts";
import { findPostmaster, processIdentity } from "../../src/library/testing/postgres/process.ts";
import { type CheckoutCopy, copyCheckout, DEV_BEARER, TOKEN_FILE } from "./checkout_copy.ts";
import { openUrl } from "./open_url.ts";

function devTest(name: string, fn: (checkout: CheckoutCopy) => Promise<void>): void {
  const withCheckout = async () => {
    await using checkout = await copyCheckout();
    await fn(checkout);
  };
  Deno.test({ name, fn: withCheckout, timeout: 60_000 });
}

async function createUser(url: string, email = "grace@example.com"): Promise<number> {
  const response = await fetch(`${url}/users`, {
    method: "POST",
    headers: { ...DEV_BEARER, "content-type": "application/json" },
    body: JSON.stringify({ email, name: "Grace Hopper" }),
  });
  await response.body?.cancel();
  return response.status;
}

function dataOf({ path }: CheckoutCopy): string {
  return join(path, ".local", "postgres", "development", "cluster", "data");
}

async function assertNothingLeft(checkout: CheckoutCopy): Promise<void> {
  assertEquals(await findPostmaster(dataOf(checkout)), undefined);
}

devTest(
  "deno task dev makes a token, and prints a curl line that creates a user by it, and where /ops is",
  async (checkout) => {
    await Deno.remove(join(checkout.path, TOKEN_FILE));
    await using dev = checkout.dev();
    const { curl } = await dev.ready();
    const token = (await Deno.readTextFile(join(checkout.path, TOKEN_FILE))).trim();
    assertMatch(curl, new RegExp(`-H "authorization: Bearer ${token}"`));
    const { mode } = await Deno.stat(join(checkout.path, TOKEN_FILE));
    if (Deno.build.os !== "windows") assertEquals((mode ?? 0) & 0o777, 0o600);
    const shell = new Deno.Command("sh", { args: ["-c", `${curl} --silent`] });
    const { stdout } = await shell.output();
    assertMatch(new TextDecoder().decode(stdout), /^HTTP\/1.1 201 /);
    const ops =
      /http:\S+/.exec(await dev.output.next(/^Live view of its database connections: /))![0];
    const page = await fetch(ops);
    await page.body?.cancel();
    assertEquals(page.status, 200);
  },
);

devTest("deno task dev keeps its users from one start to the next", async (checkout) => {
  {
    await using dev = checkout.dev();
    assertEquals(await createUser((await dev.ready()).url), 201);
    dev.signal("SIGTERM");
    assertEquals(await dev.ended, 0);
  }
  await using dev = checkout.dev();
  assertEquals(await createUser((await dev.ready()).url), 409);
});

devTest("deno task dev restarts the service when a source file changes", async (checkout) => {
  await using dev = checkout.dev();
  await dev.ready();
  const file = join(checkout.path, "src", "ops", "log.ts");
  const text = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, `const = 1;\n${text}`);
  await dev.errors.next(/^The service ended with exit code 1; it starts again when/);
  assertMatch(dev.errors.text, /log\.ts:1:7/);
  await Deno.writeTextFile(file, text);
  const url = /http:\S+/.exec(await dev.output.next(/^The service listens on/))![0];
  assertEquals(await createUser(url), 201);
});

devTest("deno task dev stays up when the service refuses its settings", async (checkout) => {
  await using dev = checkout.dev({ DATABASE_POOL_SIZE: "many" });
  await dev.errors.next(/DATABASE_POOL_SIZE/);
  await dev.errors.next(/^The service ended with exit code 1/);
  dev.signal("SIGINT");
  assertEquals(await dev.ended, 0);
  await assertNothingLeft(checkout);
});

devTest(
  "deno task dev and reset refuse to run while another process has the lock, and name it",
  async (checkout) => {
    await using dev = checkout.dev();
    const { url } = await dev.ready();
    const who = `process ${dev.pid} runs this checkout's development stack and serves ${url}`;
    for (const program of ["main.ts", "reset.ts"]) {
      const { code, text } = await checkout.run(program);
      assertEquals(code, 1);
      assert(text.includes(who), text);
    }
    assertEquals(await createUser(url), 201);
  },
);

devTest("deno task reset drops the users", async (checkout) => {
  {
    await using dev = checkout.dev();
    assertEquals(await createUser((await dev.ready()).url), 201);
  }
  const { code, text } = await checkout.run("reset.ts");
  assertEquals(code, 0);
  assertMatch(text, /^Dropped .*development$/m);
  await using dev = checkout.dev();
  assertEquals(await createUser((await dev.ready()).url), 201);
});

devTest("a signal lets requests finish, then ends everything with 0", async (checkout) => {
  await using dev = checkout.dev();
  const { url, adminUrl } = await dev.ready();
  await using admin = await openUrl(adminUrl);
  await using session = admin.db.session();
  await session.query(trustedSql("lock table users"));
  const answer = createUser(url);
  await waitForLock(admin.ask);
  dev.signal("SIGINT");
  await dev.output.next(/^Shutting down/);
  await assertRefuses(url);
  await session.rollback();
  assertEquals(await answer, 201);
  assertEquals(await dev.ended, 0);
  await assertNothingLeft(checkout);
});

devTest("SHUTDOWN_TIMEOUT cuts a request that does not finish", async (checkout) => {
  // Every other limit on the request is far longer than SHUTDOWN_TIMEOUT.
  await using dev = checkout.dev({
    SHUTDOWN_TIMEOUT: "3",
    DATABASE_LOCK_TIMEOUT: "600",
    DATABASE_STATEMENT_TIMEOUT: "600",
    DATABASE_TRANSACTION_TIMEOUT: "600",
  });
  const { url, adminUrl } = await dev.ready();
  await using admin = await openUrl(adminUrl);
  await using session = admin.db.session();
  await session.query(trustedSql("lock table users"));
  const answer = createUser(url).catch(() => 0);
  await waitForLock(admin.ask);
  dev.signal("SIGTERM");
  assertEquals(await dev.ended, 0);
  // The table is still locked by `session`, so the request did not end by itself.
  assertNotEquals(await answer, 201);
  await assertNothingLeft(checkout);
});

devTest("a second signal ends everything at once with 130", async (checkout) => {
  await using dev = checkout.dev({ SHUTDOWN_TIMEOUT: "60" });
  const { url, adminUrl } = await dev.ready();
  await using admin = await openUrl(adminUrl);
  await using session = admin.db.session();
  await session.query(trustedSql("lock table users"));
  const answer = createUser(url).catch(() => 0);
  await waitForLock(admin.ask);
  dev.signal("SIGINT");
  await dev.output.next(/^Shutting down/);
  // listenForSignals takes a signal within 300 ms for the same key press, passed on by `deno task`: repeat it.
  let hasEnded = false;
  dev.ended.then(() => hasEnded = true);
  const isOver = () => {
    if (!hasEnded) dev.signal("SIGINT");
    return hasEnded;
  };
  assert(await pollUntil(isOver, { deadlineMs: 30_000, intervalMs: 50 }));
  assertEquals(await dev.ended, 130);
  assertNotEquals(await answer, 201);
  await assertNothingLeft(checkout);
});

devTest("after SIGKILL of deno task dev its server and its service end", async (checkout) => {
  await using dev = checkout.dev();
  const { url } = await dev.ready();
  const postmaster = (await findPostmaster(dataOf(checkout)))!;
  dev.signal("SIGKILL");
  await dev.ended;
  const isGone = async () => await processIdentity(postmaster) === undefined;
  assert(await pollUntil(isGone, { deadlineMs: 30_000, intervalMs: 20 }));
  const isRefused = () => createUser(url).then(() => false, () => true);
  assert(await pollUntil(isRefused, { deadlineMs: 30_000, intervalMs: 20 }));
});

devTest("deno task dev starts no server when .env names one", async (checkout) => {
  await using postgres = await startPostgres({ ephemeral: true });
  const url = postgres.url({ role: "user_service_owner" });
  const settings = `DATABASE_URL=${url}\nDATABASE_PIPELINE_CONNECT=on\n`;
  await Deno.writeTextFile(join(checkout.path, ".env"), settings);
  await using dev = checkout.dev();
  const serviceUrl = /http:\S+/.exec(await dev.output.next(/^The service listens on/))![0];
  await dev.output.next(/^It uses the database of DATABASE_URL; migrations ran there/);
  assertEquals(await createUser(serviceUrl), 201);
  await assertRejects(() => Deno.stat(dataOf(checkout)), Deno.errors.NotFound);
});

/** Resolves once the request's INSERT waits for the lock on `users`. */
async function waitForLock(
  ask: (statement: string) => Promise<readonly Record<string, unknown>[]>,
): Promise<void> {
  const isWaiting = async () =>
    (await ask("select 1 from pg_locks where not granted and relation = 'users'::regclass"))
      .length > 0;
  assert(await pollUntil(isWaiting, { deadlineMs: 30_000, intervalMs: 20 }));
}

async function assertRefuses(url: string): Promise<void> {
  const isRefused = async () => {
    const response = await fetch(`${url}/readyz`);
    return (await response.json()).type === "/problems/shutting-down";
  };
  assert(await pollUntil(isRefused, { deadlineMs: 30_000, intervalMs: 20 }));
}
