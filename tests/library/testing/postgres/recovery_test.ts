import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { dirname, join } from "node:path";
import { pollUntil } from "../../../../src/library/testing/postgres/poll.ts";
import { type Postgres, startPostgres } from "../../../../src/dev/postgres.ts";
import { serverAccount } from "../../../../src/library/testing/postgres/directory.ts";
import { processIdentity } from "../../../../src/library/testing/postgres/process.ts";
import { askUrl } from "../../../dev/open_url.ts";
import { makeScratch } from "../../../dev/scratch.ts";
import { spawnOwner } from "./spawn_owner.ts";

function recoveryTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, timeout: 60_000 });
}

async function makeCluster(directory: string): Promise<Postgres> {
  const postgres = await startPostgres({ directory });
  await postgres.stop();
  return postgres;
}

async function assertServes(postgres: Postgres): Promise<void> {
  assertEquals((await askUrl(postgres.url(), "select 1 as one"))[0]!["one"], 1);
}

recoveryTest("startPostgres() recovers after kill -9 of the postmaster", async () => {
  await using scratch = await makeScratch();
  const killed = await startPostgres({ directory: scratch.path });
  await askUrl(killed.url({ role: "user_service_owner" }), "create table kept (id int)");
  Deno.kill(killed.pid, "SIGKILL");
  await using postgres = await startPostgres({ directory: scratch.path });
  assertEquals(await askUrl(postgres.url(), "select * from kept"), []);
  await killed.stop();
});

recoveryTest(
  "startPostgres() ignores the pid file of a process that is not PostgreSQL",
  async () => {
    await using scratch = await makeScratch();
    const { directory, port } = await makeCluster(scratch.path);
    // It runs as the server's account: PostgreSQL itself ignores only processes of other accounts.
    const bystander = new Deno.Command("sleep", { args: ["60"], cwd: "/", ...serverAccount() })
      .spawn();
    const data = join(directory, "data");
    const lines = [bystander.pid, data, 1, port, "", "127.0.0.1", "  1  1", "ready   "];
    await Deno.writeTextFile(join(data, "postmaster.pid"), lines.join("\n") + "\n");
    try {
      await using postgres = await startPostgres({ directory: scratch.path });
      await assertServes(postgres);
      assertNotEquals(await processIdentity(bystander.pid), undefined);
    } finally {
      bystander.kill("SIGKILL");
      await bystander.status;
    }
  },
);

recoveryTest(
  "startPostgres() stops a stale server, whose owner and watchdog were both killed",
  async () => {
    await using scratch = await makeScratch();
    const owner = await spawnOwner(scratch.path, "lasting");
    const stale = owner.postgres;
    await killWatchdogs(dirname(stale.directory));
    await owner.kill();
    assertNotEquals(await processIdentity(stale.pid), undefined);
    await using postgres = await startPostgres({ directory: scratch.path });
    assertEquals(await processIdentity(stale.pid), undefined);
    assertEquals(postgres.url(), stale.url);
    await assertServes(postgres);
  },
);

recoveryTest("startPostgres() stops a stale server that is frozen", async () => {
  await using scratch = await makeScratch();
  const owner = await spawnOwner(scratch.path, "lasting");
  await killWatchdogs(dirname(owner.postgres.directory));
  Deno.kill(owner.postgres.pid, "SIGSTOP");
  await owner.kill();
  await using postgres = await startPostgres({ directory: scratch.path });
  await assertServes(postgres);
});

recoveryTest("startPostgres() replaces a damaged credentials file", async () => {
  await using scratch = await makeScratch();
  const { directory, url } = await makeCluster(scratch.path);
  await Deno.writeTextFile(join(directory, "credentials.json"), '{"postgres": "');
  await using postgres = await startPostgres({ directory: scratch.path });
  assertNotEquals(postgres.url(), url());
  await assertServes(postgres);
});

recoveryTest("startPostgres() starts over when its first start was interrupted", async () => {
  await using scratch = await makeScratch();
  const draft = join(scratch.path, "development", "cluster.new-0", "data");
  await Deno.mkdir(draft, { recursive: true });
  await Deno.chmod(dirname(dirname(draft)), 0o755);
  await Deno.writeTextFile(join(draft, "PG_VERSION"), "18\n");
  await using postgres = await startPostgres({ directory: scratch.path });
  await assertServes(postgres);
  await assertRejects(() => Deno.stat(draft), Deno.errors.NotFound);
});

recoveryTest("startPostgres() refuses data of another version and names the way out", async () => {
  await using scratch = await makeScratch();
  const { directory } = await makeCluster(scratch.path);
  const version = join(directory, "data", "PG_VERSION");
  await Deno.writeTextFile(version, "17\n");
  const start = () => startPostgres({ directory: scratch.path });
  await assertRejects(start, Error, "as it is of version 17; drop it with `deno task reset`");
  await Deno.remove(version);
  await assertRejects(start, Error, "as it has no PG_VERSION; drop it with `deno task reset`");
});

recoveryTest("startPostgres() refuses a directory that can't be made", async () => {
  await using scratch = await makeScratch();
  const file = join(scratch.path, "file");
  await Deno.writeTextFile(file, "");
  const start = () => startPostgres({ directory: join(file, "home") });
  await assertRejects(start, Error, `Cannot make the directory ${join(file, "home")} as `);
});

recoveryTest(
  "startPostgres() reports the log's last lines when the server doesn't start",
  async () => {
    await using scratch = await makeScratch();
    const { directory } = await makeCluster(scratch.path);
    await Deno.remove(join(directory, "data", "global", "pg_control"));
    const start = () => startPostgres({ directory: scratch.path });
    const error = await assertRejects(start, Error, "Cannot start PostgreSQL on ");
    assert(error.message.includes("pg_control"), error.message);
    assert(error.message.endsWith("`deno task reset` starts over with empty data"));
  },
);

async function killWatchdogs(directory: string): Promise<void> {
  for await (const { name } of Deno.readDir(directory)) {
    if (!name.startsWith("watchdog-")) continue;
    const pid = Number(await Deno.readTextFile(join(directory, name)));
    Deno.kill(pid, "SIGKILL");
    const isGone = async () => await processIdentity(pid) === undefined;
    assert(await pollUntil(isGone, { deadlineMs: 30_000, intervalMs: 10 }));
  }
}
