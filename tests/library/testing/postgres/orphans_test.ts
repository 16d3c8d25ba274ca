import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { dirname, join } from "node:path";
import { pollUntil } from "../../../../src/library/testing/postgres/poll.ts";
import { type Postgres, startPostgres } from "../../../../src/dev/postgres.ts";
import { processIdentity } from "../../../../src/library/testing/postgres/process.ts";
import { parseLsof } from "../../../../src/library/testing/postgres/processes_lsof.ts";
import { askUrl } from "../../../dev/open_url.ts";
import { makeScratch } from "../../../dev/scratch.ts";
import { spawnOwner } from "./spawn_owner.ts";

/** Windows has no way to read a process's working directory, by which orphans are found. */
function orphansTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, timeout: 60_000, ignore: Deno.build.os === "windows" });
}

interface BusyBackend extends AsyncDisposable {
  readonly pid: number;
}

/** A backend that is too busy on the CPU to notice that its postmaster dies. */
async function makeBusyBackend(url: string): Promise<BusyBackend> {
  const ended = askUrl(url, "do $$ begin loop end loop; end $$").catch(() => {});
  let pid: number | undefined;
  const isBusy = async () => {
    const [row] = await askUrl(
      url,
      "select pid from pg_stat_activity where state = 'active' and query like 'do %'",
    );
    pid = row?.["pid"] as number | undefined;
    return pid !== undefined;
  };
  assert(await pollUntil(isBusy, { deadlineMs: 30_000, intervalMs: 20 }), "the backend is busy");
  return {
    pid: pid!,
    async [Symbol.asyncDispose]() {
      if (await isAlive(pid!)) Deno.kill(pid!, "SIGKILL");
      await ended;
    },
  };
}

/** The server's long-lived processes: pid to identity. */
async function processesOf(postgres: Postgres): Promise<Map<number, string | undefined>> {
  const rows = await askUrl(
    postgres.url({ role: "postgres" }),
    "select pid from pg_stat_activity " +
      "where backend_type not in ('client backend', 'autovacuum worker')",
  );
  const pids = [postgres.pid, ...rows.map((row) => row["pid"] as number)];
  return new Map(
    await Promise.all(
      pids.map(async (pid) => [pid, await processIdentity(pid)] as const),
    ),
  );
}

async function isAlive(pid: number): Promise<boolean> {
  return await processIdentity(pid) !== undefined;
}

async function killAndWait(pid: number): Promise<void> {
  Deno.kill(pid, "SIGKILL");
  await assertGone([pid]);
}

async function assertUntouched(processes: Map<number, string | undefined>): Promise<void> {
  for (const [pid, identity] of processes) assertEquals(await processIdentity(pid), identity);
}

async function assertGone(pids: Iterable<number>): Promise<void> {
  for (const pid of pids) {
    const isGone = async () => !await isAlive(pid);
    assert(await pollUntil(isGone, { deadlineMs: 30_000, intervalMs: 10 }), `${pid} ends`);
  }
}

orphansTest(
  "startPostgres() kills a busy backend of a killed server and keeps the data",
  async () => {
    await using scratch = await makeScratch();
    const killed = await startPostgres({ directory: scratch.path });
    await askUrl(killed.url({ role: "user_service_owner" }), "create table kept (id int)");
    await using busy = await makeBusyBackend(killed.url());
    await killAndWait(killed.pid);
    await using postgres = await startPostgres({ directory: scratch.path });
    await assertGone([busy.pid]);
    assertEquals(await askUrl(postgres.url(), "select * from kept"), []);
    const processes = await processesOf(postgres);
    await killed.stop();
    await assertUntouched(processes);
  },
);

orphansTest("stop() kills a busy backend whose postmaster was killed", async () => {
  await using scratch = await makeScratch();
  const postgres = await startPostgres({ directory: scratch.path });
  await using busy = await makeBusyBackend(postgres.url());
  await killAndWait(postgres.pid);
  assert(await isAlive(busy.pid));
  await postgres.stop();
  await assertGone([busy.pid]);
});

for (const immediately of [false, true]) {
  const options = `{ immediately: ${immediately} }`;
  orphansTest(`stop(${options}) stops a frozen server and no other`, async () => {
    await using scratch = await makeScratch();
    const frozen = await startPostgres({ directory: scratch.path });
    // It runs the same programs.
    await using other = await startPostgres({ directory: scratch.path, ephemeral: true });
    const others = await processesOf(other);
    const processes = await processesOf(frozen);
    assert(processes.size > 3);
    for (const pid of processes.keys()) Deno.kill(pid, "SIGSTOP");
    await frozen.stop({ deadlineMs: 3_000, immediately });
    await assertGone(processes.keys());
    await assertUntouched(others);
  });
}

orphansTest(
  "the watchdog kills a busy backend whose postmaster and owner were killed",
  async () => {
    for (const kind of ["lasting", "ephemeral"] as const) {
      await using scratch = await makeScratch();
      const { postgres, kill } = await spawnOwner(scratch.path, kind);
      await using busy = await makeBusyBackend(postgres.url);
      await killAndWait(postgres.pid);
      await kill();
      const isGone = async () => !await isAlive(busy.pid);
      assert(
        await pollUntil(isGone, { deadlineMs: 30_000, intervalMs: 20 }),
        `${kind}: the backend ends`,
      );
      const order = join(dirname(postgres.directory), "watchdog.json");
      const isReleased = () => Deno.stat(order).then(() => false, () => true);
      assert(await pollUntil(isReleased, { deadlineMs: 30_000, intervalMs: 20 }), kind);
    }
  },
);

orphansTest(
  "startPostgres() does not kill foreign processes and tells how to end them",
  async () => {
    await using scratch = await makeScratch();
    const killed = await startPostgres({ directory: scratch.path });
    await using busy = await makeBusyBackend(killed.url());
    // After the rename the backend's program is no installed one, but it still uses the data.
    for await (const { name } of Deno.readDir(scratch.path)) {
      if (!name.startsWith("postgresql-")) continue;
      await Deno.rename(join(scratch.path, name), join(scratch.path, "others"));
    }
    await killAndWait(killed.pid);
    const start = () => startPostgres({ directory: scratch.path });
    const { message } = await assertRejects(start, Error, "Cannot start PostgreSQL on ");
    assertNotEquals(await processIdentity(busy.pid), undefined);
    const wayOut =
      `end the processes of an earlier server with \`kill -9 ${busy.pid}\`, then start ` +
      "again: the data is kept";
    assert(message.endsWith(wayOut), message);
    await killAndWait(busy.pid);
    await using postgres = await startPostgres({ directory: scratch.path });
    assertEquals((await askUrl(postgres.url(), "select 1 as one"))[0]!["one"], 1);
    await killed.stop();
  },
);

Deno.test("parseLsof() finds the processes whose working directory is the given one, with their programs", () => {
  const one = "p7\nfcwd\nn/data\nftxt\nn/home/bin/postgres\nftxt\nn/usr/lib/dyld\n";
  const two = "p8\nfcwd\nn/data/more\nftxt\nn/home/bin/postgres\n";
  const three = "p99\nfcwd\nn/data\nftxt\nn/home/lib/libpq.dylib\nftxt\nn/other dir/postgres\n";
  assertEquals(parseLsof(one + two + three, "/data"), [
    { pid: 7, program: "/home/bin/postgres" },
    { pid: 99, program: "/other dir/postgres" },
  ]);
  assertEquals(parseLsof("", "/data"), []);
});
