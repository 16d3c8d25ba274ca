import { context, propagation, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-base";
import { createLog, type Log } from "../../ops/log.ts";
import {
  markMessageFailed,
  propagateTrace,
  traceMessages,
  traceSending,
} from "../../ops/message_trace.ts";
import { databaseObserver, tracedDatabase, traceFields, traceRequests } from "../../ops/tracing.ts";
import { type Instrument, type Instrumentation, notInstrumented } from "../instrumentation.ts";
import { AsyncContext } from "./async_context.ts";
import { InvocationSpanProcessor, withInvocation } from "./invocation_spans.ts";
import { OtlpExporter } from "./otlp_exporter.ts";
import { type TracingSettings, tracingSettings } from "./settings.ts";

let tracing: Instrumentation | undefined;

/**
 * Registers OpenTelemetry's SDK for this isolate, which the Worker and its objects share. Adds nothing if no endpoint is
 * set. Rejects with `SettingsError`.
 */
export const startTracing: Instrument = async (bindings, settings) => {
  const tracingOptions = await tracingSettings(bindings);
  if (tracingOptions === undefined) return await notInstrumented(bindings, settings);
  return tracing ??= register(tracingOptions, createLog(settings.logLevel));
};

function register(
  { serviceName, ratio, ...address }: TracingSettings,
  log: Log,
): Instrumentation {
  context.setGlobalContextManager(new AsyncContext());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({
      resource: resourceFromAttributes({ "service.name": serviceName }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
      spanProcessors: [new InvocationSpanProcessor(new OtlpExporter({ ...address, log }))],
    }),
  );
  return {
    run: (ctx, work) => context.with(withInvocation(ROOT_CONTEXT, ctx), work),
    observers: [traceRequests()],
    observerOf: (url) => databaseObserver(tracedDatabase(url)),
    writing: propagateTrace,
    send: (work) => traceSending("USER_EVENTS", work),
    consuming: traceMessages,
    noteFailure: markMessageFailed,
    logFields: traceFields,
  };
}
