import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { dirname, join } from "node:path";
import { pollUntil } from "../../../../src/library/testing/postgres/poll.ts";
import { startPostgres } from "../../../../src/dev/postgres.ts";
import { processIdentity } from "../../../../src/library/testing/postgres/process.ts";
import { makeScratch } from "../../../dev/scratch.ts";
import { spawnOwner } from "./spawn_owner.ts";

function watchdogTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, timeout: 60_000 });
}

async function assertBecomes(isTrue: () => Promise<boolean>, what: string): Promise<void> {
  assert(await pollUntil(isTrue, { deadlineMs: 30_000, intervalMs: 20 }), what);
}

async function assertEnds(pid: number): Promise<void> {
  await assertBecomes(async () => await processIdentity(pid) === undefined, `${pid} ends`);
}

async function watchdogOf(directory: string): Promise<number> {
  for await (const { name } of Deno.readDir(directory)) {
    if (!name.startsWith("watchdog-")) continue;
    return Number(await Deno.readTextFile(join(directory, name)));
  }
  throw new Error(`there is no watchdog in ${directory}`);
}

function isMissing(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => false, () => true);
}

watchdogTest("the watchdog removes an ephemeral server when its owner is killed", async () => {
  await using scratch = await makeScratch();
  const { postgres, kill } = await spawnOwner(scratch.path, "ephemeral");
  const watchdog = await watchdogOf(dirname(postgres.directory));
  await kill();
  await assertEnds(postgres.pid);
  await assertEnds(watchdog);
  await assertBecomes(() => isMissing(dirname(postgres.directory)), "the data is gone");
});

watchdogTest("the watchdog stops a lasting server when its owner is killed", async () => {
  await using scratch = await makeScratch();
  const { postgres, kill } = await spawnOwner(scratch.path, "lasting");
  const watchdog = await watchdogOf(dirname(postgres.directory));
  await kill();
  await assertEnds(postgres.pid);
  await assertEnds(watchdog);
  assert(await isMissing(join(postgres.directory, "data", "postmaster.pid")));
  assert(!await isMissing(join(postgres.directory, "data", "PG_VERSION")));
});

watchdogTest("the watchdog of a killed owner does not stop the next owner's server", async () => {
  await using scratch = await makeScratch();
  const { postgres: killed, kill } = await spawnOwner(scratch.path, "lasting");
  const watchdog = await watchdogOf(dirname(killed.directory));
  await kill();
  await using postgres = await startPostgres({ directory: scratch.path });
  await assertEnds(watchdog);
  assertNotEquals(postgres.pid, killed.pid);
  assertNotEquals(await processIdentity(postgres.pid), undefined);
});

watchdogTest("the watchdog ends after its server has been stopped", async () => {
  const postgres = await startPostgres({ ephemeral: true });
  const watchdog = await watchdogOf(dirname(postgres.directory));
  assertNotEquals(await processIdentity(watchdog), undefined);
  await postgres.stop();
  await assertEnds(watchdog);
  assertEquals(await isMissing(dirname(postgres.directory)), true);
});
