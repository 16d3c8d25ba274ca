/** Spans as OpenTelemetry's own SDK and its in-memory exporter receive them. */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { localDatabase } from "../support/local_database.ts";
import type { TracePlan } from "./service_trace_process.ts";

interface Exported {
  readonly name: string;
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly status: number;
  readonly id: string;
  readonly traceId: string;
  readonly parentId?: string;
  /** Ids of the linked spans. */
  readonly links: readonly string[];
}

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const CALLER = "b7ad6b7169203331";

/** Span kinds by their numbers in the API. https://opentelemetry.io/docs/specs/otel/trace/api/#spankind */
const KINDS = ["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const ERROR = 2;

/** Runs a program of this folder with a plan, and returns what it prints. */
async function outputOf<Output>(
  program: string,
  plan?: TracePlan,
): Promise<Output & { readonly text: string }> {
  const root = join(import.meta.dirname!, "..", "..");
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--quiet",
      "--no-config",
      `--import-map=${join(root, "deno.json")}`,
      "--frozen",
      `--lock=${join(import.meta.dirname!, "tracing.lock")}`,
      join(import.meta.dirname!, program),
    ],
    cwd: root,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  await new Blob([JSON.stringify(plan ?? {}), "\n"]).stream().pipeTo(child.stdin);
  const { success, stdout, stderr } = await output;
  assert(success, new TextDecoder().decode(stderr));
  const text = new TextDecoder().decode(stdout);
  return { ...JSON.parse(text), text };
}

const output = await outputOf<{ spans: Exported[]; logFields: Record<string, string> }>(
  "tracing_process.ts",
);

/** One line per span: its ancestors, then its own kind and name. */
function lineage({ parentId, kind, name }: Exported, spans = output.spans): string {
  const parent = spans.find(({ id }) => id === parentId);
  const own = `${KINDS[kind]} ${name}`;
  if (parent !== undefined) return `${lineage(parent, spans)} > ${own}`;
  return parentId === CALLER ? `caller > ${own}` : own;
}

Deno.test("a request's span contains one transaction span per attempt, and those contain the spans of their flights", () => {
  const request = "caller > SERVER POST /things/:id";
  const transaction = `${request} > INTERNAL transaction POST /things/:id`;
  const own = output.spans.filter(({ traceId }) => traceId === TRACE);
  assertEquals(own.map((span) => lineage(span)), [
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

Deno.test("one trace leads from the caller through request, retry and outbox to the message's transaction", async () => {
  const database = await localDatabase();
  await using branch = await database.connect();
  // The first insert fails with a serialization failure. A sequence counts the attempts, because it is not rolled back.
  await branch.asAdmin("create sequence changes");
  await branch.asAdmin("grant usage on sequence changes to public");
  await branch.asAdmin(`create function fail_once() returns trigger language plpgsql as $$ begin
    if nextval('changes') = 1 then raise exception 'overtaken' using errcode = '40001'; end if;
    return new; end $$`);
  await branch.asAdmin(
    "create trigger fail_once before insert on users for each row execute function fail_once()",
  );
  const { spans, status, text } = await outputOf<{ spans: Exported[]; status: number }>(
    "service_trace_process.ts",
    {
      env: { ...branch.env, PORT: "0", LOG_LEVEL: "error" },
      traceparent: `00-${TRACE}-${CALLER}-01`,
    },
  );
  assertEquals(status, 201);
  const request = "caller > SERVER POST /users";
  const unit = `${request} > INTERNAL transaction POST /users`;
  const message = `${request} > CONSUMER process user_events`;
  const effect = `${message} > INTERNAL transaction activity`;
  const lines = spans.filter(({ traceId }) => traceId === TRACE)
    .map((span) => lineage(span, spans));
  // Sorted, because the consumer may process the message before the request's span ends.
  assertEquals(
    lines.toSorted(),
    [
      request,
      unit,
      `${unit} > CLIENT WITH`,
      unit,
      `${unit} > CLIENT WITH`,
      message,
      effect,
      `${effect} > CLIENT INSERT`,
    ].toSorted(),
  );
  const attempts = spans.filter(({ name }) => name === "transaction POST /users")
    .map(({ attributes: each }) => [each["user_service.attempt"], each["user_service.outcome"]]);
  assertEquals(attempts, [[1, "rolled back"], [2, "committed"]]);
  assert(!text.includes("secret"), text);
});

Deno.test("a batch of messages has one span, linked to the senders' spans", () => {
  const { parentId, links, attributes } = output.spans.find(({ name }) =>
    name === "process things"
  )!;
  assertEquals([parentId, links], [undefined, ["b7ad6b7169203300", "b7ad6b7169203301"]]);
  assertEquals(attributes, {
    "messaging.operation.type": "process",
    "messaging.destination.name": "things",
    "messaging.batch.message_count": 3,
  });
});

Deno.test("spans have the attributes of OpenTelemetry's conventions, and no values", () => {
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

Deno.test("a request without traceparent starts a trace, and a request without a route is named by its method", () => {
  const { name, traceId, parentId } = output.spans.find(({ attributes }) =>
    attributes["url.path"] === "/no/such/address"
  )!;
  assertEquals([name, parentId, traceId === TRACE], ["GET", undefined, false]);
});

Deno.test("log lines have the trace id of the active span", () => {
  assertEquals(output.logFields["traceId"], TRACE);
});

Deno.test("a statement of db.run has a span of its own, which names no isolation level", () => {
  const [flight, run] = output.spans.filter(({ name }) =>
    name === "VACUUM" || name === "run nightly"
  );
  assertEquals(lineage(flight!), "INTERNAL run nightly > CLIENT VACUUM");
  const { "user_service.outcome": outcome, "user_service.isolation": isolation } = run!.attributes;
  assertEquals([outcome, isolation], ["committed", undefined]);
});

Deno.test("each flight's span names the server that it was sent to, and a transaction's span the last of them", () => {
  const serversOf = (label: string) => {
    const unit = output.spans.find(({ name }) => name === `transaction ${label}`)!;
    const flights = output.spans.filter(({ parentId }) => parentId === unit.id);
    return [unit, ...flights].map(({ attributes }) =>
      `${attributes["server.address"]}:${attributes["server.port"]}`
    );
  };
  const [primary, standby] = ["db.example:5432", "standby.example:5433"];
  assertEquals(serversOf("without a mark"), [primary, primary]);
  assertEquals(serversOf("on the replica"), [standby, standby]);
  assertEquals(serversOf("too far behind"), [primary, standby, primary]);
});
