/**
 * Continues a request's trace in the consumer of its message. The message carries the `traceparent`: each writing
 * transaction sets it as a server setting, and the outbox table reads the setting as a column default. So the code
 * that writes events need not know about traces.
 */
import {
  type Context,
  context,
  isSpanContextValid,
  type Link,
  propagation,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import type { SessionOptions, TransactionRunner } from "../db/mod.ts";
import { mapSessionOptions } from "../session_options.ts";
import { isTraced, tracer } from "./tracing.ts";

/** Read by the default of the column `user_events.traceparent`. */
const SETTING = "user_service.traceparent";

/** The same database, whose writing transactions send the active trace to the server, if it is recorded. */
export function propagateTrace(db: TransactionRunner): TransactionRunner {
  return mapSessionOptions(db, withTrace);
}

function withTrace<Options extends SessionOptions>(options: Options): Options {
  const traceparent = options.readOnly ? undefined : currentTraceparent();
  if (traceparent === undefined) return options;
  return { ...options, locals: { ...options.locals, [SETTING]: traceparent } };
}

function currentTraceparent(): string | undefined {
  if (!isTraced()) return undefined;
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent;
}

/** The part of a message of `src/queue` that tracing needs. */
export interface TracedMessage {
  readonly id: string;
  readonly traceparent?: string | undefined;
}

/**
 * Wraps `consume` in a span. A single message continues the trace of its sender. A batch starts a trace of its own,
 * linked to the traces of all senders.
 * https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/#batch-receiving
 */
export function traceMessages<Message extends TracedMessage, Options>(
  queue: string,
  consume: (messages: readonly Message[], options?: Options) => Promise<void>,
): (messages: readonly Message[], options?: Options) => Promise<void> {
  return async function consumeTraced(messages, options) {
    const senders = messages.map(({ traceparent }) =>
      propagation.extract(context.active(), { traceparent })
    );
    const [only] = messages;
    const isSingle = only !== undefined && messages.length === 1;
    const parent = isSingle ? senders[0]! : context.active();
    const span = tracer.startSpan(`process ${queue}`, {
      kind: SpanKind.CONSUMER,
      attributes: {
        "messaging.operation.type": "process",
        "messaging.destination.name": queue,
        ...(isSingle
          ? { "messaging.message.id": only.id }
          : { "messaging.batch.message_count": messages.length }),
      },
      links: isSingle ? [] : senders.flatMap(linkTo),
    }, parent);
    if (!isSpanContextValid(span.spanContext())) return await consume(messages, options);
    try {
      await context.with(trace.setSpan(parent, span), () => consume(messages, options));
    } finally {
      span.end();
    }
  };
}

/**
 * Wraps the sending of messages to a queue in a span.
 * https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/#batch-sending
 */
export async function traceSending<T>(queue: string, send: () => Promise<T>): Promise<T> {
  const span = tracer.startSpan(`send ${queue}`, {
    kind: SpanKind.PRODUCER,
    attributes: { "messaging.operation.type": "send", "messaging.destination.name": queue },
  });
  try {
    return await context.with(trace.setSpan(context.active(), span), send);
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR });
    throw error;
  } finally {
    span.end();
  }
}

function linkTo(sender: Context): Link[] {
  const spanContext = trace.getSpanContext(sender);
  return spanContext === undefined ? [] : [{ context: spanContext }];
}

/** Marks the active span as failed. Call it when messages have failed. The inner spans carry the reason. */
export function markMessageFailed({ isDead }: { readonly isDead: boolean }): void {
  const span = trace.getActiveSpan();
  span?.setAttribute("error.type", isDead ? "given_up" : "retried");
  span?.setStatus({ code: SpanStatusCode.ERROR });
}
