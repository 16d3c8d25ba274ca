import { assertRejects } from "@std/assert";
import { join } from "node:path";
import { takeDevLock } from "../../src/dev/dev_lock.ts";
import { makeScratch } from "./scratch.ts";

Deno.test("takeDevLock() names the holder, and its service's URL once that is announced", async () => {
  await using scratch = await makeScratch();
  using lock = await takeDevLock("start", scratch.path);
  const again = () => takeDevLock("reset the data", scratch.path);
  const who = `Cannot reset the data as process ${Deno.pid} runs this checkout's development stack`;
  await assertRejects(again, Error, `${who}; stop it first`);
  await lock.announce("http://127.0.0.1:8000");
  await assertRejects(again, Error, `${who} and serves http://127.0.0.1:8000; stop it first`);
});

Deno.test("takeDevLock() succeeds after the holder has released the lock", async () => {
  await using scratch = await makeScratch();
  (await takeDevLock("start", scratch.path))[Symbol.dispose]();
  using _lock = await takeDevLock("start", scratch.path);
});

Deno.test("takeDevLock() refuses a checkout it can't write and names the way out", async () => {
  await using scratch = await makeScratch();
  await Deno.writeTextFile(join(scratch.path, ".local"), "");
  const take = () => takeDevLock("start", scratch.path);
  await assertRejects(take, Error, "dev.lock can't be opened for writing; give this user");
});
