/**
 * The whole service with OpenTelemetry's own SDK, for `tracing_test.ts`. Creates a user in the trace that the first
 * line of standard input names, waits until the event has been processed, and prints the spans as JSON.
 */
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { planFromStdin } from "../../src/dev/plan_from_stdin.ts";
import { start } from "../../src/deno/service.ts";
import { finishedSpans } from "./in_memory_spans.ts";
import { BEARER } from "../support/token.ts";

export interface TracePlan {
  readonly env: Readonly<Record<string, string>>;
  readonly traceparent: string;
}

const { env, traceparent } = (await planFromStdin<TracePlan>())!.plan;
const service = await start(env, { hostname: "127.0.0.1" });
const answer = await fetch(`${service.url}/users`, {
  method: "POST",
  headers: { ...BEARER, "Content-Type": "application/json", traceparent },
  body: JSON.stringify({ email: "secret@example.org", name: "secret" }),
});
await answer.body?.cancel();
const isHandled = () =>
  Promise.resolve(finishedSpans().some(({ name }: { name: string }) => /^process /.test(name)));
await pollUntil(isHandled, { deadlineMs: 20_000, intervalMs: 20 });
await service.shutdown();
console.log(JSON.stringify({ spans: finishedSpans(), status: answer.status }));
Deno.exit(0);
