/** For `exhausted_test.ts`: a listener in a process that uses up its descriptors, and frees them when told to. */
import { createLog } from "../../src/ops/log.ts";
import { Listener } from "../../src/deno/listener.ts";

const log = createLog("info");
await Listener.listen({
  hostname: "0.0.0.0",
  port: Number(Deno.args[0]),
  max: 1_000,
  maxPerClient: 1_000,
  requestsPerClient: 50,
  handler: () => new Response("hello"),
  onRefused: () => {},
  onError: (error) => log.error("failed", { error }),
  onSilence: () => log.error("silence"),
  timeouts: { intervalMs: 200, timeoutMs: 500 },
});
log.info("listening");
const files: Deno.FsFile[] = [];
for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  if (chunk.includes("exhaust")) {
    try {
      for (;;) files.push(Deno.openSync("/dev/null"));
    } catch {
      log.info("exhausted");
    }
  } else {
    for (const file of files.splice(0)) file.close();
    log.info("freed");
  }
}
