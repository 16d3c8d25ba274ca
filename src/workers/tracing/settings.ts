/**
 * The settings of traces. Names and meaning are OpenTelemetry's:
 * https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
import * as v from "valibot";
import { SettingsError } from "../../settings/settings.ts";
import { text } from "../../settings/variable.ts";
import { rejection } from "../../value_message.ts";
import { type Bindings, readBindings } from "../settings.ts";

export interface TracingSettings {
  /** Where traces are sent. May have a secret in it: never log it. */
  readonly url: string;
  /** Headers of each export. Secrets: never log them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  /** Of the traces that start here. A trace of the caller's is sampled as the caller has decided. */
  readonly ratio: number;
}

const variables = v.object({
  OTEL_EXPORTER_OTLP_ENDPOINT: v.optional(v.pipe(
    text(),
    v.check(
      (value) => {
        const url = URL.parse(value);
        return /^https?:\/\/[^\s?#@]+$/.test(value) && url !== null && url.port !== "0";
      },
      "it must be an http:// or https:// URL without user, query and fragment: current value is not shown; write it as " +
        "https://collector.example:4318, without /v1/traces, and secrets as OTEL_EXPORTER_OTLP_HEADERS",
    ),
  )),
  OTEL_EXPORTER_OTLP_HEADERS: v.optional(v.pipe(
    text(),
    v.check(
      (value) => value.split(",").every(isHeader),
      "it must be headers as name=value, separated by commas: current value is not shown; encode other characters of a " +
        "value as in a URL",
    ),
    v.transform((value) => Object.fromEntries(value.split(",").map(headerOf))),
  )),
  OTEL_SERVICE_NAME: v.optional(text(), "user-service"),
  OTEL_TRACES_SAMPLER_ARG: v.optional(
    v.pipe(
      text(),
      v.check(
        (value) => /^(?:0(?:\.\d{1,9})?|1(?:\.0{1,9})?)$/.test(value),
        rejection("it must be a number from 0 to 1", 'write digits only, such as "0.05"'),
      ),
      v.transform(Number),
    ),
    "1",
  ),
});

/** Returns `undefined` if no endpoint is set. Rejects with `SettingsError`, and if a secret cannot be read. */
export async function tracingSettings(bindings: Bindings): Promise<TracingSettings | undefined> {
  const given = await readBindings(bindings, Object.keys(variables.entries));
  const { success, output, issues } = v.safeParse(variables, given);
  if (!success) {
    throw new SettingsError(
      issues.map((issue) => `Cannot use ${v.getDotPath(issue)} as ${issue.message}`),
    );
  }
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } = output;
  return endpoint === undefined ? undefined : {
    url: `${endpoint.replace(/\/$/, "")}/v1/traces`,
    headers: output.OTEL_EXPORTER_OTLP_HEADERS ?? {},
    serviceName: output.OTEL_SERVICE_NAME,
    ratio: output.OTEL_TRACES_SAMPLER_ARG,
  };
}

/** https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables */
function headerOf(text: string): [name: string, value: string] {
  const at = text.indexOf("=");
  return [text.slice(0, at).trim(), decodeURIComponent(text.slice(at + 1).trim())];
}

function isHeader(text: string): boolean {
  try {
    return text.includes("=") && new Headers([headerOf(text)]) !== undefined;
  } catch {
    return false;
  }
}
