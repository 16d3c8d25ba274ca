/**
 * Collects the spans of each invocation, because only the invocation itself may send them: a Worker's sockets belong to
 * a request.
 */
import { type Context, createContextKey } from "@opentelemetry/api";
import type { ReadableSpan, Span, SpanProcessor } from "@opentelemetry/sdk-trace-base";
import type { WorkerContext } from "../../library/workers/mod.ts";
import type { OtlpExporter } from "./otlp_exporter.ts";

const SPANS = createContextKey("spans of this invocation");

/** So many ended spans are sent at once, also if others are open. As OTEL_BSP_MAX_EXPORT_BATCH_SIZE has it by default. */
const MAX_SPANS = 512;

interface InvocationSpans {
  readonly ctx: WorkerContext;
  ended: ReadableSpan[];
  open: number;
}

/** The context of an invocation, in which its spans must be started. */
export function withInvocation(context: Context, ctx: WorkerContext): Context {
  return context.setValue(SPANS, { ctx, ended: [], open: 0 } satisfies InvocationSpans);
}

/**
 * Exports what has ended whenever the outermost span of an invocation ends, such as a request's, and when its last span
 * ends, such as that of a rollback after the answer.
 */
export class InvocationSpanProcessor implements SpanProcessor {
  readonly #exporter: OtlpExporter;
  /** By span. */
  readonly #invocations = new WeakMap<object, InvocationSpans>();

  constructor(exporter: OtlpExporter) {
    this.#exporter = exporter;
  }

  onStart(span: Span, parent: Context): void {
    const invocation = parent.getValue(SPANS) as InvocationSpans | undefined;
    if (invocation === undefined) return;
    invocation.open++;
    this.#invocations.set(span, invocation);
  }

  onEnd(span: ReadableSpan): void {
    const invocation = this.#invocations.get(span);
    if (invocation === undefined) return;
    invocation.open--;
    invocation.ended.push(span);
    const { parentSpanContext: parent } = span;
    const isOutermost = parent === undefined || parent.isRemote === true;
    if (!isOutermost && invocation.open > 0 && invocation.ended.length < MAX_SPANS) return;
    const spans = invocation.ended;
    invocation.ended = [];
    this.#exporter.export(spans, invocation.ctx);
  }

  /** Nothing waits to be flushed: each invocation sends its own spans. */
  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}
