/** A process without a descriptor left: its listener serves again when there are descriptors. */
import { assert } from "@std/assert";
import { join } from "node:path";
import { permissionsOf } from "../../src/dev/permissions.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { attack, leave } from "../hostile/clients.ts";
import { signalProcess } from "../support/signal_process.ts";

const OPEN_FILES = 200;

exhaustedTest("with all permissions", () => ["-A"]);

exhaustedTest("HTTP_SERVER=plain", () => ["-A"], "plain");

exhaustedTest("with the network permissions of deno task start", (port) => [
  ...permissionsOf({
    DATABASE_URL: "postgresql://user:secret@database/app",
    DATABASE_WS_PROXY: "ws://127.0.0.1:1/",
    PORT: String(port),
  }).map(({ flag }) => flag),
  // Of these the process makes its files.
  "--allow-read=/dev/null",
]);

function exhaustedTest(
  name: string,
  permissions: (port: number) => string[],
  kind: "guarded" | "plain" = "guarded",
): void {
  Deno.test({
    name:
      `a listener that met the limit on open files accepts connections once there are descriptors again, ${name}`,
    ignore: Deno.build.os !== "linux",
    fn: () => exhaust(permissions, kind),
  });
}

async function exhaust(
  permissions: (port: number) => string[],
  kind: "guarded" | "plain",
): Promise<void> {
  const free = Deno.listen({ port: 0 });
  const { port } = free.addr;
  free.close();
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      `ulimit -n ${OPEN_FILES} && exec "$0" run "$@"`,
      Deno.execPath(),
      "--quiet",
      "--no-check",
      ...permissions(port),
      join(import.meta.dirname!, "exhausted_process.ts"),
      String(port),
      kind,
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const input = child.stdin.getWriter();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const logged = async (event: string) => {
    while (!text.includes(`"event":"${event}"`)) {
      const { value, done } = await output.read();
      if (done) throw new Error(`The process ended before it logged ${event}: ${text}`);
      text += value;
    }
  };
  const tell = (word: string) => input.write(new TextEncoder().encode(word));
  try {
    await logged("listening");
    await tell("exhaust");
    await logged("exhausted");
    const waiting = await attack(port);
    // The first one has found no descriptor by the time that the process answers this.
    await tell("free");
    await logged("freed");
    // Refused for the moment in which the listening socket is replaced.
    const isServed = () =>
      fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1_000) })
        .then(async (response) => await response.text() === "hello", () => false);
    assert(await pollUntil(isServed, { deadlineMs: 20_000, intervalMs: 50 }));
    await leave([waiting]);
  } finally {
    await input.close();
    signalProcess(child, "SIGKILL");
    await child.status;
    await output.cancel();
  }
}
