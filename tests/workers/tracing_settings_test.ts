/** The settings of traces on Workers, from bindings. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SettingsError } from "../../src/settings/settings.ts";
import { tracingSettings } from "../../src/workers/tracing/settings.ts";

const ENDPOINT = "https://collector.example:4318";

Deno.test("without an endpoint there are no traces, whatever else is set", async () => {
  assertEquals(await tracingSettings({ OTEL_SERVICE_NAME: "users" }), undefined);
  assertEquals(await tracingSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: "" }), undefined);
});

Deno.test("an endpoint alone samples every trace, as user-service", async () => {
  assertEquals(await tracingSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT }), {
    url: `${ENDPOINT}/v1/traces`,
    headers: {},
    serviceName: "user-service",
    ratio: 1,
  });
});

Deno.test("the path of an endpoint is kept, and values of headers are decoded; a secret may be bound", async () => {
  const settings = await tracingSettings({
    OTEL_EXPORTER_OTLP_ENDPOINT: `${ENDPOINT}/otlp/`,
    OTEL_EXPORTER_OTLP_HEADERS: {
      get: () => Promise.resolve("Authorization=Basic%20YTpiPQ==, x-team = a"),
    },
    OTEL_SERVICE_NAME: "users",
    OTEL_TRACES_SAMPLER_ARG: "0.05",
  });
  assertEquals(settings, {
    url: `${ENDPOINT}/otlp/v1/traces`,
    headers: { Authorization: "Basic YTpiPQ==", "x-team": "a" },
    serviceName: "users",
    ratio: 0.05,
  });
});

const REFUSED: readonly (readonly [name: string, value: unknown])[] = [
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector.example:4318"],
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:hunter2@collector.example"],
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example?key=hunter2"],
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "https://:0"],
  ["OTEL_EXPORTER_OTLP_HEADERS", "hunter2"],
  ["OTEL_EXPORTER_OTLP_HEADERS", "=hunter2"],
  ["OTEL_EXPORTER_OTLP_HEADERS", "x-key=hunter2,"],
  ["OTEL_EXPORTER_OTLP_HEADERS", "x-key=hunter2%0d%0ax: y"],
  ["OTEL_EXPORTER_OTLP_HEADERS", "x-key=hunter2%"],
  ["OTEL_EXPORTER_OTLP_HEADERS", 1],
  ["OTEL_TRACES_SAMPLER_ARG", "1.5"],
  ["OTEL_TRACES_SAMPLER_ARG", "-0"],
  ["OTEL_TRACES_SAMPLER_ARG", "5%"],
  ["OTEL_SERVICE_NAME", 1],
];

for (const [name, value] of REFUSED) {
  Deno.test(`${name}=${JSON.stringify(value)} is refused, and no secret is shown`, async () => {
    const bindings = { OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT, [name]: value };
    const { problems } = await assertRejects(() => tracingSettings(bindings), SettingsError);
    assertEquals(problems.length, 1);
    assert(problems[0]!.startsWith(`Cannot use ${name} as it must be `), problems[0]);
    assert(problems[0]!.includes("current value"), problems[0]);
    assert(!problems[0]!.includes("hunter2"), problems[0]);
  });
}
