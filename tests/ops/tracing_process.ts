/**
 * Requests, transactions and a message under OpenTelemetry's own SDK, for `tracing_test.ts`: prints the spans that its
 * in-memory exporter has got, as JSON. A process of its own, as a provider is for good, and under a lock of its own, as
 * only tests use the SDK.
 */
import { context, propagation, trace } from "@opentelemetry/api";
import { sql } from "../../src/db/mod.ts";
import { createApp } from "../../src/http/app.ts";
import { withSession } from "../../src/http/mod.ts";
import {
  currentTraceparent,
  databaseObserver,
  traceFields,
  traceMessage,
  traceRequests,
} from "../../src/ops/tracing.ts";
import { databaseOf, poolOf } from "../support/database.ts";
import { ScriptedDriver, serverError } from "../support/scripted_driver.ts";

const SDK = "npm:@opentelemetry/sdk-trace-base@2.12.1";
const CORE = "npm:@opentelemetry/core@2.12.1";
const CONTEXT = "npm:@opentelemetry/context-async-hooks@2.12.0";

const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = await import(SDK);
const { W3CTraceContextPropagator } = await import(CORE);
const { AsyncLocalStorageContextManager } = await import(CONTEXT);

const exporter = new InMemorySpanExporter();
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
);

let conflicts = 1;
const driver = new ScriptedDriver({
  reply: ({ text }) =>
    text.startsWith("update") && conflicts-- > 0
      ? serverError("40001", "could not serialize access, said with a secret")
      : undefined,
});
const db = databaseOf(poolOf(driver), {
  random: () => 0,
  observer: databaseObserver({ name: "shop", host: "db.example", port: 5432 }),
});

const app = createApp({ db, around: [traceRequests()] });
const told: Record<string, unknown> = {};
app.post(
  "/things/:id",
  withSession({}, async (c, session) => {
    told["traceId"] = traceFields().traceId;
    told["traceparent"] = currentTraceparent();
    await session.query(sql`update things set name = ${"a secret"} where size > 12`);
    await session.commit();
    return c.json({});
  }),
);

const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
await app.request("/things/7?secret=1", { method: "POST", headers });
await app.request("/no/such/address");
const traceparent = told["traceparent"] as string;
await traceMessage({ queue: "users", id: "42", traceparent }, async () => {
  await db.transaction((session) => session.commit([sql`insert into inbox values (${42})`]));
});
await db[Symbol.asyncDispose]();

interface Ended {
  readonly name: string;
  readonly kind: number;
  readonly attributes: Record<string, unknown>;
  readonly status: { readonly code: number };
  readonly parentSpanContext?: { readonly spanId: string };
  spanContext(): { readonly spanId: string; readonly traceId: string };
}

const spans = exporter.getFinishedSpans().map((span: Ended) => ({
  name: span.name,
  kind: span.kind,
  attributes: span.attributes,
  status: span.status.code,
  id: span.spanContext().spanId,
  traceId: span.spanContext().traceId,
  parentId: span.parentSpanContext?.spanId,
}));
console.log(JSON.stringify({ spans, told }));
