import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { dirname, join } from "node:path";
import { pollUntil } from "../../../src/dev/poll.ts";
import { startPostgres } from "../../../src/dev/postgres/server.ts";
import { processIdentity } from "../../../src/dev/postgres/process.ts";
import { makeScratch } from "../scratch.ts";
import { spawnOwner } from "./spawn_owner.ts";

function guardianTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, timeout: 60_000 });
}

async function assertSoon(isSo: () => Promise<boolean>, what: string): Promise<void> {
  assert(await pollUntil(isSo, { deadlineMs: 10_000, intervalMs: 20 }), what);
}

async function assertEnds(pid: number): Promise<void> {
  await assertSoon(async () => await processIdentity(pid) === undefined, `${pid} ends`);
}

async function guardianOf(directory: string): Promise<number> {
  for await (const { name } of Deno.readDir(directory)) {
    if (!name.startsWith("guardian-")) continue;
    return Number(await Deno.readTextFile(join(directory, name)));
  }
  throw new Error(`there is no guardian in ${directory}`);
}

function isMissing(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => false, () => true);
}

guardianTest("the guardian removes an ephemeral server when its owner is killed", async () => {
  await using scratch = await makeScratch();
  const { postgres, kill } = await spawnOwner(scratch.path, "ephemeral");
  const guardian = await guardianOf(dirname(postgres.directory));
  await kill();
  await assertEnds(postgres.pid);
  await assertEnds(guardian);
  await assertSoon(() => isMissing(dirname(postgres.directory)), "the data is gone");
});

guardianTest("the guardian stops a lasting server when its owner is killed", async () => {
  await using scratch = await makeScratch();
  const { postgres, kill } = await spawnOwner(scratch.path, "lasting");
  const guardian = await guardianOf(dirname(postgres.directory));
  await kill();
  await assertEnds(postgres.pid);
  await assertEnds(guardian);
  assert(await isMissing(join(postgres.directory, "data", "postmaster.pid")));
  assert(!await isMissing(join(postgres.directory, "data", "PG_VERSION")));
});

guardianTest("the guardian of a killed owner leaves the next owner's server alone", async () => {
  await using scratch = await makeScratch();
  const { postgres: killed, kill } = await spawnOwner(scratch.path, "lasting");
  const guardian = await guardianOf(dirname(killed.directory));
  await kill();
  await using postgres = await startPostgres({ directory: scratch.path });
  await assertEnds(guardian);
  assertNotEquals(postgres.pid, killed.pid);
  assertNotEquals(await processIdentity(postgres.pid), undefined);
});

guardianTest("the guardian leaves when its server has been stopped", async () => {
  const postgres = await startPostgres({ ephemeral: true });
  const guardian = await guardianOf(dirname(postgres.directory));
  assertNotEquals(await processIdentity(guardian), undefined);
  await postgres.stop();
  await assertEnds(guardian);
  assertEquals(await isMissing(dirname(postgres.directory)), true);
});
