/**
 * A trace goes on where a message is taken. It travels in the message; into that it comes by the transaction that
 * writes it, as a setting of the server's, so that what writes need not know of traces.
 */
import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { Database, SessionOptions } from "../db/mod.ts";
import { tracer } from "./tracing.ts";

/** The default of `user_events.traceparent` reads it. */
const SETTING = "user_service.traceparent";

type UnitsOfWork = Pick<Database, "session" | "transaction">;

/** The same database, whose transactions tell the server the trace that they are in; where there is none, nothing. */
export function carryTrace(db: UnitsOfWork): UnitsOfWork {
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
 * Takes each message in a span of its own, in the trace of whoever sent it.
 * https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
 */
export function traceMessages<Message extends TracedMessage>(
  queue: string,
  consume: (message: Message) => Promise<void>,
): (message: Message) => Promise<void> {
  return async function consumeTraced(message) {
    const { id, traceparent } = message;
    const sender = propagation.extract(context.active(), { traceparent });
    const attributes = {
      "messaging.operation.type": "process",
      "messaging.destination.name": queue,
      "messaging.message.id": id,
    };
    const options = { kind: SpanKind.CONSUMER, attributes };
    const span = tracer().startSpan(`process ${queue}`, options, sender);
    if (!span.isRecording()) return await consume(message);
    try {
      await context.with(trace.setSpan(sender, span), () => consume(message));
    } finally {
      span.end();
    }
  };
}

/** To be called where a message has failed. Why is told by the spans within its own. */
export function markMessageFailed({ isDead }: { readonly isDead: boolean }): void {
  const span = trace.getActiveSpan();
  span?.setAttribute("error.type", isDead ? "given_up" : "retried");
  span?.setStatus({ code: SpanStatusCode.ERROR });
}
