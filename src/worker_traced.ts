/**
 * Entry on Cloudflare Workers with traces: `worker.ts`, which also exports spans to `OTEL_EXPORTER_OTLP_ENDPOINT`. It is
 * an entry of its own, because OpenTelemetry's packages are an eighth of its bundle.
 */
import { DatabaseObject as PlainDatabaseObject } from "./workers/database_object.ts";
import { workerOf } from "./workers/entry.ts";
import { startTracing } from "./workers/tracing/worker_tracing.ts";

export class DatabaseObject extends PlainDatabaseObject {
  protected override readonly instrument = startTracing;
}

const { handlers, UsersEntrypoint } = workerOf(startTracing);

export { UsersEntrypoint };
export default handlers;
