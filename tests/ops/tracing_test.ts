/** Spans, as OpenTelemetry's own SDK and its in-memory exporter get them. */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";

interface Exported {
  readonly name: string;
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly status: number;
  readonly id: string;
  readonly traceId: string;
  readonly parentId?: string;
}

interface Output {
  readonly spans: readonly Exported[];
  readonly told: Readonly<Record<string, string>>;
}

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const CALLER = "b7ad6b7169203331";

/** https://opentelemetry.io/docs/specs/otel/trace/api/#spankind, by their numbers in the API. */
const KINDS = ["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const ERROR = 2;

async function exported(): Promise<Output & { readonly text: string }> {
  const root = join(import.meta.dirname!, "..", "..");
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--quiet",
      "--no-config",
      `--import-map=${join(root, "deno.json")}`,
      "--frozen",
      `--lock=${join(import.meta.dirname!, "tracing.lock")}`,
      join(import.meta.dirname!, "tracing_process.ts"),
    ],
    cwd: root,
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert(success, new TextDecoder().decode(stderr));
  return { ...JSON.parse(text), text };
}

const output = await exported();

/** One line for each span: its kind and name, behind those that it is in. */
function lineage({ parentId, kind, name }: Exported): string {
  const parent = output.spans.find(({ id }) => id === parentId);
  const own = `${KINDS[kind]} ${name}`;
  if (parent !== undefined) return `${lineage(parent)} > ${own}`;
  return parentId === CALLER ? `caller > ${own}` : own;
}

Deno.test("a request's span holds its transactions' spans, one for each attempt, and those hold their flights'", () => {
  const request = "caller > SERVER POST /things/:id";
  const transaction = `${request} > INTERNAL transaction POST /things/:id`;
  const lines = output.spans.filter(({ traceId }) => traceId === TRACE).map(lineage);
  assertEquals(lines.filter((line) => !line.includes("CONSUMER")), [
    `${transaction} > CLIENT UPDATE`,
    transaction,
    `${transaction} > CLIENT UPDATE`,
    `${transaction} > CLIENT COMMIT`,
    transaction,
    request,
  ]);
  const attempts = output.spans.filter(({ name }) => name === "transaction POST /things/:id");
  const outcomes = attempts.map(({ attributes: each, status }) => [
    each["user_service.attempt"],
    each["user_service.outcome"],
    each["error.type"],
    status,
  ]);
  assertEquals(outcomes, [[1, "rolled back", "40001", ERROR], [2, "committed", undefined, 0]]);
});

Deno.test("a message's span is in the trace of the request that sent it, and holds its transaction's", () => {
  const lines = output.spans.map(lineage).filter((line) => line.includes("CONSUMER"));
  const message = "caller > SERVER POST /things/:id > CONSUMER process users";
  assertEquals(lines, [
    `${message} > INTERNAL transaction > CLIENT INSERT`,
    `${message} > INTERNAL transaction`,
    message,
  ]);
  const { attributes } = output.spans.find(({ name }) => name === "process users")!;
  assertEquals(attributes["messaging.message.id"], "42");
});

Deno.test("spans say what OpenTelemetry's conventions ask for, and nobody's values", () => {
  const request = output.spans.find(({ name }) => name === "POST /things/:id")!;
  assertEquals(request.attributes, {
    "http.request.method": "POST",
    "url.path": "/things/7",
    "http.route": "/things/:id",
    "http.response.status_code": 200,
  });
  const flight = output.spans.find(({ name }) => name === "UPDATE")!;
  assertEquals(flight.attributes, {
    "db.system.name": "postgresql",
    "db.namespace": "shop",
    "server.address": "db.example",
    "server.port": 5432,
    "db.operation.name": "UPDATE",
    "db.query.text": "update things set name = $1 where size > ?",
    "db.response.status_code": "40001",
    "error.type": "40001",
  });
  assert(!output.text.includes("secret"), output.text);
});

Deno.test("a request without traceparent begins a trace, and one without a route has its method's name", () => {
  const { name, traceId, parentId } = output.spans.find(({ attributes }) =>
    attributes["url.path"] === "/no/such/address"
  )!;
  assertEquals([name, parentId, traceId === TRACE], ["GET", undefined, false]);
});

Deno.test("log lines say the trace that they are written in", () => {
  assertEquals(output.told["traceId"], TRACE);
});
