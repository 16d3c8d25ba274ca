/**
 * Registers OpenTelemetry's own SDK for the whole process, with an exporter that keeps spans in memory. Only for
 * processes that run with `tracing.lock`, because only tests use the SDK.
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

interface ExportedSpan {
  readonly name: string;
  readonly kind: number;
  readonly attributes: Record<string, unknown>;
  readonly status: { readonly code: number };
  readonly parentSpanContext?: { readonly spanId: string };
  readonly links: readonly { readonly context: { readonly spanId: string } }[];
  spanContext(): { readonly spanId: string; readonly traceId: string };
}

/** The ended spans, in the order in which they ended. */
export function finishedSpans() {
  return exporter.getFinishedSpans().map((span: ExportedSpan) => ({
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
