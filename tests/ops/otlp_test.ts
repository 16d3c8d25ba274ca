/** The export of spans by Deno itself, as in `deno task dev:otel`, to a collector within the test. */
import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { completesWithin } from "../../src/db/time/timeout.ts";
import { localDatabase } from "../support/local_database.ts";
import { BEARER } from "../support/token.ts";

const MAIN = join(import.meta.dirname!, "..", "..", "src", "main.ts");
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const CALLER = "b7ad6b7169203331";

/** https://opentelemetry.io/docs/specs/otlp/#otlphttp-request, as JSON. */
interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
}

interface TracesRequest {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

const database = await localDatabase();

Deno.test("Deno exports a trace of the service, with environment variables as the only configuration", async () => {
  await using branch = await database.connect();
  const spans: Span[] = [];
  const handled = Promise.withResolvers<void>();
  const collector = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const isTraces = new URL(request.url).pathname === "/v1/traces";
      const { resourceSpans = [] }: Partial<TracesRequest> = await request.json();
      if (isTraces) {
        const found = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans)
          .flatMap(({ spans }) => spans);
        spans.push(...found.filter(({ traceId }) => traceId === TRACE));
      }
      const names = spans.map(({ name }) => name);
      if (names.includes("POST /users") && names.includes("process user_events")) {
        handled.resolve();
      }
      return Response.json({});
    },
  );
  const service = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--quiet", MAIN],
    env: {
      ...branch.env,
      PORT: "0",
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
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
        traceparent: `00-${TRACE}-${CALLER}-01`,
      },
      body: JSON.stringify({ email: "ann@example.org", name: "Ann" }),
    });
    await answer.body?.cancel();
    assertEquals(answer.status, 201);
    assertEquals(await completesWithin(handled.promise, 20_000), true, JSON.stringify(spans));
    await output.cancel();
  } finally {
    service.kill("SIGTERM");
    await service.status;
    await collector.shutdown();
  }
  const lineage = ({ name, parentSpanId }: Span): string => {
    const parent = spans.find(({ spanId }) => spanId === parentSpanId);
    if (parent !== undefined) return `${lineage(parent)} > ${name}`;
    return parentSpanId === CALLER ? `caller > ${name}` : name;
  };
  const message = "caller > POST /users > process user_events";
  assertEquals(spans.map(lineage).sort(), [
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
