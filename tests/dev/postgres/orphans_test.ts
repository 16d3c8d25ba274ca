import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { dirname, join } from "node:path";
import { pollUntil } from "../../../src/dev/poll.ts";
import { type Postgres, startPostgres } from "../../../src/dev/postgres/server.ts";
import { processIdentity } from "../../../src/dev/postgres/process.ts";
import { parseLsof } from "../../../src/dev/postgres/processes_lsof.ts";
import { askUrl } from "../open_url.ts";
import { makeScratch } from "../scratch.ts";
import { spawnOwner } from "./spawn_owner.ts";

/** Windows tells nobody which directory a process works in. */
function remainsTest(name: string, fn: () => Promise<void>): void {
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
  assert(await pollUntil(isBusy, { deadlineMs: 10_000, intervalMs: 20 }), "the backend is busy");
  return {
    pid: pid!,
    async [Symbol.asyncDispose]() {
      if (await isAlive(pid!)) Deno.kill(pid!, "SIGKILL");
      await ended;
    },
  };
}

/** Of all a server's processes that stay, mapped to what tells them from later ones. */
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

/** On a busy machine a killed process is there for a moment longer. */
async function assertGone(pids: Iterable<number>): Promise<void> {
  for (const pid of pids) {
    const isGone = async () => !await isAlive(pid);
    assert(await pollUntil(isGone, { deadlineMs: 5_000, intervalMs: 10 }), `${pid} ends`);
  }
}

remainsTest(
  "startPostgres() ends a busy backend of a killed server, and keeps the data",
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

remainsTest("stop() ends a busy backend whose postmaster is gone", async () => {
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
  remainsTest(`stop(${options}) ends a server that is frozen, and no other`, async () => {
    await using scratch = await makeScratch();
    const frozen = await startPostgres({ directory: scratch.path });
    // Of the same programs.
    await using other = await startPostgres({ directory: scratch.path, ephemeral: true });
    const others = await processesOf(other);
    const processes = await processesOf(frozen);
    assert(processes.size > 3);
    for (const pid of processes.keys()) Deno.kill(pid, "SIGSTOP");
    await frozen.stop({ deadlineMs: 1_000, immediately });
    await assertGone(processes.keys());
    await assertUntouched(others);
  });
}

remainsTest("the guardian ends a busy backend whose postmaster and owner were killed", async () => {
  for (const kind of ["lasting", "ephemeral"] as const) {
    await using scratch = await makeScratch();
    const { postgres, kill } = await spawnOwner(scratch.path, kind);
    await using busy = await makeBusyBackend(postgres.url);
    await killAndWait(postgres.pid);
    await kill();
    const isGone = async () => !await isAlive(busy.pid);
    assert(await pollUntil(isGone, { deadlineMs: 10_000, intervalMs: 20 }), `${kind}: it ends`);
    const guard = join(dirname(postgres.directory), "guard.json");
    const isReleased = () => Deno.stat(guard).then(() => false, () => true);
    assert(await pollUntil(isReleased, { deadlineMs: 10_000, intervalMs: 20 }), kind);
  }
});

remainsTest(
  "startPostgres() leaves others' processes alone, and says how to end them",
  async () => {
    await using scratch = await makeScratch();
    const killed = await startPostgres({ directory: scratch.path });
    await using busy = await makeBusyBackend(killed.url());
    // What runs is no longer a program of ours, yet holds on to the data.
    for await (const { name } of Deno.readDir(scratch.path)) {
      if (!name.startsWith("postgresql-")) continue;
      await Deno.rename(join(scratch.path, name), join(scratch.path, "others"));
    }
    await killAndWait(killed.pid);
    const start = () => startPostgres({ directory: scratch.path });
    const { message } = await assertRejects(start, Error, "Cannot start PostgreSQL on ");
    assertNotEquals(await processIdentity(busy.pid), undefined);
    const way = `end what an earlier server left there with \`kill -9 ${busy.pid}\`, then start ` +
      "again: the data stays";
    assert(message.endsWith(way), message);
    await killAndWait(busy.pid);
    await using postgres = await startPostgres({ directory: scratch.path });
    assertEquals((await askUrl(postgres.url(), "select 1 as one"))[0]!["one"], 1);
    await killed.stop();
  },
);

Deno.test("parseLsof() finds the processes that work in a directory, with their programs", () => {
  const one = "p7\nfcwd\nn/data\nftxt\nn/home/bin/postgres\nftxt\nn/usr/lib/dyld\n";
  const two = "p8\nfcwd\nn/data/more\nftxt\nn/home/bin/postgres\n";
  const three = "p99\nfcwd\nn/data\nftxt\nn/home/lib/libpq.dylib\nftxt\nn/other dir/postgres\n";
  assertEquals(parseLsof(one + two + three, "/data"), [
    { pid: 7, program: "/home/bin/postgres" },
    { pid: 99, program: "/other dir/postgres" },
  ]);
  assertEquals(parseLsof("", "/data"), []);
});
