/**
 * Spans of requests, transactions and flights, by OpenTelemetry's conventions. They are recorded only if a tracer
 * provider is registered; Deno registers its own with `OTEL_DENO=true`. Without one, the API returns spans that record
 * nothing.
 */
import {
  type Attributes,
  context,
  isSpanContextValid,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { Step } from "../chain.ts";
import { routeOf } from "../hono.ts";
import {
  type FlightPart,
  type Observer,
  type ServerAddress,
  ServerError,
  textOf,
} from "../db/mod.ts";
import { serverAddress } from "../library/database_address.ts";
import { sanitised } from "./statement.ts";

/** Uses the provider that is registered when a span is started. */
export const tracer: Tracer = trace.getTracer("user-service");

/** The trace id of the active span, for log lines. */
export function traceFields(): { traceId?: string } {
  const traceId = trace.getActiveSpan()?.spanContext().traceId;
  return traceId === undefined ? {} : { traceId };
}

/** Whether the span that is active is recorded. */
export function isTraced(): boolean {
  return trace.getActiveSpan()?.isRecording() === true;
}

/**
 * Middleware that starts a span for each request, in the trace of its `traceparent` header. If the runtime has started
 * a span already, as Deno's server does, the middleware only adds the route to it.
 * https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span
 */
export function traceRequests(): Step {
  return function traceRequest(c, next) {
    const { method } = c.req;
    const setRoute = (span: Span) => {
      const route = routeOf(c);
      if (route === "") return;
      span.setAttribute("http.route", route);
      span.updateName(`${method} ${route}`);
    };
    const runtimeSpan = trace.getActiveSpan();
    if (runtimeSpan !== undefined) return next().then(() => setRoute(runtimeSpan));
    const caller = propagation.extract(context.active(), {
      traceparent: c.req.header("traceparent"),
    });
    const attributes = { "http.request.method": method, "url.path": c.req.path };
    const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, caller);
    if (!isSpanContextValid(span.spanContext())) return next();
    // Also if the trace is not sampled: the request's transactions would otherwise start traces of their own.
    return context.with(trace.setSpan(caller, span), next).then(() => {
      if (!span.isRecording()) return;
      setRoute(span);
      span.setAttribute("http.response.status_code", c.res.status);
      if (c.res.status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    });
  };
}

/** Attributes of a database, on its spans. */
export interface TracedDatabase extends ServerAddress {
  readonly name: string;
}

/** The attributes of the database at this URL. */
export function tracedDatabase(url: string): TracedDatabase {
  return { ...serverAddress(url), name: decodeURIComponent(new URL(url).pathname.slice(1)) };
}

/**
 * Starts a span for each transaction, and in it a span for each flight. Both name the server: a transaction's span the one
 * that got its last flight, as the primary answers what a replica could not.
 */
export function databaseObserver({ name, ...primary }: TracedDatabase): Observer {
  const database = {
    "db.system.name": "postgresql",
    "db.namespace": name,
    ...serverAttributes(primary),
  };
  return {
    transaction({ label, attempt, settings }) {
      const span = tracer.startSpan(
        `${settings === undefined ? "run" : "transaction"}${
          label === undefined ? "" : ` ${label}`
        }`,
        {
          attributes: {
            ...database,
            "user_service.attempt": attempt,
            ...(settings && {
              "user_service.isolation": settings.isolation,
              "user_service.read_only": settings.readOnly === true,
            }),
          },
        },
      );
      if (!span.isRecording()) return undefined;
      const within = trace.setSpan(context.active(), span);
      let server: ServerAddress = primary;
      return {
        flight(parts, replica = primary) {
          const at = serverAttributes(replica);
          if (replica !== server) span.setAttributes(at);
          server = replica;
          const attributes = { ...database, ...at, ...describeFlight(parts) };
          const name = attributes["db.operation.name"];
          const flight = tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, within);
          return (error) => endSpan(flight, error);
        },
        ended(outcome, error) {
          span.setAttribute("user_service.outcome", outcome);
          endSpan(span, error);
        },
      };
    },
  };
}

/** https://opentelemetry.io/docs/specs/semconv/general/attributes/#server-client-and-shared-network-attributes */
function serverAttributes({ host, port }: ServerAddress): Attributes {
  return { "server.address": host, ...port !== undefined && { "server.port": port } };
}

/** https://opentelemetry.io/docs/specs/semconv/database/database-spans/ */
function describeFlight(
  parts: readonly FlightPart[],
): Attributes & { "db.operation.name": string } {
  const text = sanitised(textOf(parts));
  return {
    "db.operation.name": /^\w+/.exec(text)?.[0].toUpperCase() ?? "FLIGHT",
    "db.query.text": text,
  };
}

/** Records an error by its SQLSTATE or class, because its message may contain values. */
function endSpan(span: Span, error: unknown): void {
  if (error !== undefined) {
    const sqlState = error instanceof ServerError ? error.sqlState : undefined;
    const name = error instanceof Error ? error.name : "_OTHER";
    if (sqlState !== undefined) span.setAttribute("db.response.status_code", sqlState);
    span.setAttribute("error.type", sqlState ?? name);
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end();
}
