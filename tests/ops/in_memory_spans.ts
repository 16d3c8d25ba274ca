/**
 * OpenTelemetry's own SDK, set up for the whole process, with an exporter that keeps spans in memory. To be imported by
 * a process that runs under `tracing.lock`, as only tests use the SDK.
 */
import { context, propagation, trace } from "@opentelemetry/api";

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

interface Ended {
  readonly name: string;
  readonly kind: number;
  readonly attributes: Record<string, unknown>;
  readonly status: { readonly code: number };
  readonly parentSpanContext?: { readonly spanId: string };
  readonly links: readonly { readonly context: { readonly spanId: string } }[];
  spanContext(): { readonly spanId: string; readonly traceId: string };
}

/** Those that have ended, in that order. */
export function finishedSpans() {
  return exporter.getFinishedSpans().map((span: Ended) => ({
    name: span.name,
    kind: span.kind,
    attributes: span.attributes,
    status: span.status.code,
    id: span.spanContext().spanId,
    traceId: span.spanContext().traceId,
    parentId: span.parentSpanContext?.spanId,
    links: span.links.map(({ context }) => context.spanId),
  }));
}
