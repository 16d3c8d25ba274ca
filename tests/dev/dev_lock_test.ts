import { assertRejects } from "@std/assert";
import { join } from "node:path";
import { takeDevLock } from "../../src/dev/dev_lock.ts";
import { makeScratch } from "./scratch.ts";

Deno.test("takeDevLock() names the holder, and where its service listens once that is known", async () => {
  await using scratch = await makeScratch();
  using lock = await takeDevLock("start", scratch.path);
  const again = () => takeDevLock("reset the data", scratch.path);
  const who = `Cannot reset the data: process ${Deno.pid} runs this checkout's development stack`;
  await assertRejects(again, Error, `${who}; stop that one first`);
  await lock.announce("http://127.0.0.1:8000");
  await assertRejects(again, Error, `${who} and serves http://127.0.0.1:8000; stop that one first`);
});

Deno.test("takeDevLock() succeeds after the holder has given it up", async () => {
  await using scratch = await makeScratch();
  (await takeDevLock("start", scratch.path))[Symbol.dispose]();
  using _lock = await takeDevLock("start", scratch.path);
});

Deno.test("takeDevLock() refuses a checkout it can't write, and says the way out", async () => {
  await using scratch = await makeScratch();
  await Deno.writeTextFile(join(scratch.path, ".local"), "");
  const take = () => takeDevLock("start", scratch.path);
  await assertRejects(take, Error, "dev.lock can't be opened for writing; give this user");
});
