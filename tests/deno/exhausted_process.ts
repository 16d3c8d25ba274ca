/** For `exhausted_test.ts`: a listener in a process that uses up its descriptors, and frees them when told to. */
import { createLog } from "../../src/ops/log.ts";
import { Listener, type ListenerOptions } from "../../src/deno/listener.ts";
import { listenPlainly } from "../../src/deno/plain_listener.ts";

const log = createLog("info");
const [port, kind] = Deno.args;
const options: ListenerOptions = {
  hostname: "0.0.0.0",
  port: Number(port),
  max: 1_000,
  maxPerClient: 1_000,
  backlog: 128,
  handler: () => new Response("hello"),
  onRefused: () => {},
  onError: (error) => log.error("failed", { error }),
  onSilence: () => log.error("silence"),
  timeouts: { intervalMs: 200, timeoutMs: 500 },
};
if (kind === "plain") listenPlainly(options);
else await Listener.listen(options);
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
