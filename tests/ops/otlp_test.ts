/** The export of spans by Deno itself, as in `deno task dev:otel`, to a collector within the test. */
import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { Collector, newCaller } from "../support/collector.ts";
import { localDatabase } from "../support/local_database.ts";
import { BEARER } from "../support/token.ts";
import { signalProcess } from "../support/signal_process.ts";

const MAIN = join(import.meta.dirname!, "..", "..", "src", "main.ts");

const database = await localDatabase();

Deno.test("Deno exports a trace of the service, with environment variables as the only configuration", async () => {
  await using branch = await database.connect();
  await using collector = new Collector();
  const caller = newCaller();
  const service = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--quiet", MAIN],
    env: {
      ...branch.env,
      PORT: "0",
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_BSP_SCHEDULE_DELAY: "50",
    },
    stdout: "piped",
  }).spawn();
  try {
    const output = service.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("\n")) text += (await output.read()).value;
    const { url }: { url: string } = JSON.parse(text.split("\n")[0]!);
    const answer = await fetch(new URL("/users", url), {
      method: "POST",
      headers: {
        ...BEARER,
        "Content-Type": "application/json",
        ...caller.headers,
      },
      body: JSON.stringify({ email: "ann@example.org", name: "Ann" }),
    });
    await answer.body?.cancel();
    assertEquals(answer.status, 201);
    await collector.until(() => {
      const names = collector.spans(caller.traceId).map(({ name }) => name);
      return names.includes("POST /users") && names.includes("process user_events");
    });
    await output.cancel();
  } finally {
    signalProcess(service, "SIGTERM");
    await service.status;
  }
  const message = "caller > POST /users > process user_events";
  assertEquals(caller.lineages(collector.spans(caller.traceId)), [
    // The span of Deno's HTTP server is no context of the handler, whose span is therefore beside it.
    "caller > POST",
    "caller > POST /users",
    message,
    `${message} > transaction activity`,
    `${message} > transaction activity > INSERT`,
    "caller > POST /users > transaction POST /users",
    "caller > POST /users > transaction POST /users > WITH",
  ]);
});
