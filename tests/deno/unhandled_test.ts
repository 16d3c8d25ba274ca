/** `src/main.ts` and an error that no code handles. */
import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { localDatabase } from "../support/local_database.ts";

const MAIN = join(import.meta.dirname!, "..", "..", "src", "main.ts");

const FAULTS = {
  rejection: `Promise.reject(new Error("stray"))`,
  exception: `throw new Error("stray")`,
};

/** Run before the service: it fails when the service logs that it listens. */
const failing = (statement: string) => `
  const { log } = console;
  console.log = (line) => {
    log(line);
    setTimeout(() => { ${statement}; }, 100);
  };`;

const database = await localDatabase();

for (const [name, code] of Object.entries(FAULTS)) {
  Deno.test(`an unhandled ${name} ends the process with one JSON line`, async () => {
    await using branch = await database.connect();
    const fault = await Deno.makeTempFile({ suffix: ".js" });
    await Deno.writeTextFile(fault, failing(code));
    const { code: exitCode, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-check", "--preload", fault, MAIN],
      env: { ...branch.env, PORT: "0", LOG_LEVEL: "error", QUEUE_CONCURRENCY: "0" },
      stdout: "null",
    }).output();
    await Deno.remove(fault);
    const lines = new TextDecoder().decode(stderr).trimEnd().split("\n");
    const [{ event, error }] = lines.map((line) => JSON.parse(line));
    assertEquals(
      [exitCode, lines.length, event, error.message],
      [1, 1, "process ended by an unhandled error", "stray"],
    );
  });
}
