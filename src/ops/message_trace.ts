/**
 * A trace goes on where a message is taken. It travels in the message; into that it comes by the transaction that
 * writes it, as a setting of the server's, so that what writes need not know of traces.
 */
import {
  type Context,
  context,
  type Link,
  propagation,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import type { SessionOptions, TransactionRunner } from "../db/mod.ts";
import { tracer } from "./tracing.ts";

/** The default of `user_events.traceparent` reads it. */
const SETTING = "user_service.traceparent";

/** The same database, whose transactions tell the server the trace that they are in; where there is none, nothing. */
export function carryTrace(db: TransactionRunner): TransactionRunner {
  return {
    session: (options = {}) => db.session(withTrace(options)),
    transaction: (work, options = {}) => db.transaction(work, withTrace(options)),
  };
}

function withTrace<Options extends SessionOptions>(options: Options): Options {
  const traceparent = options.readOnly ? undefined : currentTraceparent();
  if (traceparent === undefined) return options;
  return { ...options, locals: { ...options.locals, [SETTING]: traceparent } };
}

function currentTraceparent(): string | undefined {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent;
}

/** A message in hand, as `queue/` has it. */
export interface TracedMessage {
  readonly id: string;
  readonly traceparent?: string | undefined;
}

/**
 * Takes messages in a span: one alone in the trace of whoever sent it, several in a trace of their own that is linked
 * to all of theirs. https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/#batch-receiving
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
    const isAlone = only !== undefined && messages.length === 1;
    const around = isAlone ? senders[0]! : context.active();
    const span = tracer.startSpan(`process ${queue}`, {
      kind: SpanKind.CONSUMER,
      attributes: {
        "messaging.operation.type": "process",
        "messaging.destination.name": queue,
        ...(isAlone
          ? { "messaging.message.id": only.id }
          : { "messaging.batch.message_count": messages.length }),
      },
      links: isAlone ? [] : senders.flatMap(linkTo),
    }, around);
    if (!span.isRecording()) return await consume(messages, options);
    try {
      await context.with(trace.setSpan(around, span), () => consume(messages, options));
    } finally {
      span.end();
    }
  };
}

function linkTo(sender: Context): Link[] {
  const spanContext = trace.getSpanContext(sender);
  return spanContext === undefined ? [] : [{ context: spanContext }];
}

/** To be called where messages have failed. Why is told by the spans within its own. */
export function markMessageFailed({ isDead }: { readonly isDead: boolean }): void {
  const span = trace.getActiveSpan();
  span?.setAttribute("error.type", isDead ? "given_up" : "retried");
  span?.setStatus({ code: SpanStatusCode.ERROR });
}
