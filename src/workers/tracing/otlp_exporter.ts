import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { WorkerContext } from "../../library/workers/mod.ts";
import type { Log } from "../../ops/log.ts";
import type { TracingSettings } from "./settings.ts";

/** The default of OTEL_EXPORTER_OTLP_TIMEOUT. */
const TIMEOUT_MS = 10_000;

/** Of one isolate. A collector that does not answer would otherwise keep the spans of every request for that long. */
const MAX_EXPORTS = 16;

export interface OtlpExporterOptions extends Pick<TracingSettings, "url" | "headers"> {
  readonly log: Log;
}

/**
 * Sends spans as JSON over HTTP: https://opentelemetry.io/docs/specs/otlp/#otlphttp. No export is repeated: spans that
 * cannot be sent are dropped and counted. The log has one line when exports begin to fail, and one when they succeed
 * again.
 */
export class OtlpExporter {
  readonly #options: OtlpExporterOptions;
  /** When each running export ends at the latest: if the runtime ends its invocation, it never says that it has ended. */
  readonly #running = new Set<{ readonly untilMs: number }>();
  /** Spans that were dropped since exports began to fail. */
  #dropped = 0;

  constructor(options: OtlpExporterOptions) {
    this.#options = options;
  }

  /** Sends the spans through `waitUntil`, after the invocation's answer. */
  export(spans: readonly ReadableSpan[], ctx: WorkerContext): void {
    const nowMs = Date.now();
    for (const each of this.#running) if (each.untilMs < nowMs) this.#running.delete(each);
    if (this.#running.size >= MAX_EXPORTS) {
      return this.#drop(spans.length, `${MAX_EXPORTS} exports are running`);
    }
    const running = { untilMs: nowMs + 2 * TIMEOUT_MS };
    this.#running.add(running);
    ctx.waitUntil(this.#send(spans).finally(() => this.#running.delete(running)));
  }

  async #send(spans: readonly ReadableSpan[]): Promise<void> {
    const { url, headers, log } = this.#options;
    const droppedBefore = this.#dropped;
    try {
      // Lets the runtime take the answer first.
      await new Promise<void>((resolve) => setTimeout(resolve));
      const body = JsonTraceSerializer.serializeRequest([...spans]) as Uint8Array<ArrayBuffer>;
      const response = await fetch(url, {
        method: "POST",
        headers: { ...headers, "Content-Type": "application/json" },
        body,
        // The headers are for this address only.
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await response.body?.cancel();
      if (!response.ok) return this.#drop(spans.length, `status ${response.status}`);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return this.#drop(spans.length, reason.replaceAll(url, "(the endpoint)"));
    }
    // Spans that were dropped meanwhile show that exports still fail.
    if (droppedBefore === 0 || droppedBefore !== this.#dropped) return;
    this.#dropped = 0;
    log.warn("spans are exported again", { dropped: droppedBefore });
  }

  #drop(count: number, reason: string): void {
    if (this.#dropped === 0) this.#options.log.warn("cannot export spans", { reason });
    this.#dropped += count;
  }
}
