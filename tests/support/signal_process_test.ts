import { assertEquals, assertThrows } from "@std/assert";
import { signalProcess } from "./signal_process.ts";

Deno.test("a signal reaches a process that runs, and is ignored for one that has ended", async () => {
  const options = { args: ["eval", "await new Promise(() => setInterval(() => {}, 1_000))"] };
  const child = new Deno.Command(Deno.execPath(), options).spawn();
  signalProcess(child, "SIGKILL");
  assertEquals((await child.status).signal, "SIGKILL");
  assertThrows(() => child.kill("SIGKILL"), TypeError);
  signalProcess(child, "SIGKILL");
});
