/** A collector of OpenTelemetry's within the test. It takes traces as JSON over HTTP. */
import { completesWithin } from "../../src/db/time/timeout.ts";

/** https://opentelemetry.io/docs/specs/otlp/#otlphttp-request, as JSON. */
export interface CollectedSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  /** Missing or empty for the first span of a trace. */
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: unknown }[];
  readonly status: { readonly code?: number };
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
}

interface TracesRequest {
  readonly resourceSpans?: readonly {
    readonly resource: { readonly attributes: CollectedSpan["attributes"] };
    readonly scopeSpans: readonly { readonly spans: readonly CollectedSpan[] }[];
  }[];
}

/** One request of an exporter. */
export interface Export {
  readonly headers: Headers;
  readonly resource: CollectedSpan["attributes"];
  readonly spans: readonly CollectedSpan[];
}

export class Collector implements AsyncDisposable {
  readonly exports: Export[] = [];
  /** Answers the next exports. They count from their arrival. */
  answer: () => Response | Promise<Response> = () => Response.json({});
  readonly #listeners = new Set<() => void>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor({ port = 0 }: { port?: number } = {}) {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port, onListen: () => {} },
      (request) => this.#take(request),
    );
  }

  get port(): number {
    return this.#server.addr.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Of one trace, or of all. */
  spans(traceId?: string): CollectedSpan[] {
    const all = this.exports.flatMap(({ spans }) => spans);
    return traceId === undefined ? all : all.filter((span) => span.traceId === traceId);
  }

  /** Resolves when the condition holds for what has arrived. */
  async until(isMet: () => boolean): Promise<void> {
    while (!isMet()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#listeners.add(resolve);
      if (!await completesWithin(promise, TIMEOUT_MS)) {
        throw new Error(`Cannot see the spans within ${TIMEOUT_MS} ms: ${this.#names()}`);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  #names(): string {
    return this.spans().map(({ name, traceId }) => `${traceId} ${name}`).join("\n");
  }

  async #take(request: Request): Promise<Response> {
    const { resourceSpans = [] }: TracesRequest = await request.json();
    if (new URL(request.url).pathname === "/v1/traces") {
      for (const { resource, scopeSpans } of resourceSpans) {
        const spans = scopeSpans.flatMap(({ spans }) => spans);
        this.exports.push({ headers: request.headers, resource: resource.attributes, spans });
      }
    }
    for (const resolve of this.#listeners) resolve();
    this.#listeners.clear();
    return await this.answer();
  }
}

const TIMEOUT_MS = 20_000;

/** A trace of a caller's, of which each call makes another one. */
export function newCaller({ isSampled = true } = {}) {
  const [traceId, spanId] = [randomHex(16), randomHex(8)];
  return {
    traceId,
    headers: { traceparent: `00-${traceId}-${spanId}-0${isSampled ? 1 : 0}` },
    /** One line for each span: its ancestors, and its own name. Sorted. */
    lineages: (spans: readonly CollectedSpan[]) =>
      spans.map((span) => lineage(span, { spans, caller: spanId })).sort(),
  };
}

function lineage(
  { name, parentSpanId }: CollectedSpan,
  all: { spans: readonly CollectedSpan[]; caller: string },
): string {
  const parent = all.spans.find(({ spanId }) => spanId === parentSpanId);
  if (parent !== undefined) return `${lineage(parent, all)} > ${name}`;
  return parentSpanId === all.caller ? `caller > ${name}` : name;
}

function randomHex(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toHex();
}
