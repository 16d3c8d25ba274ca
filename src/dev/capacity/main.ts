/**
 * `deno task capacity`: whether a load fits a database and the pools in front of it, what breaks first, and what to set.
 * Asks no database. Exit code 1 if it does not fit, 2 for arguments that cannot be read.
 */
import { parseArgs } from "node:util";
import { type CapacityPlan, exponentialTimes, MEASURED_COSTS } from "./plan.ts";
import { examinePlan, textOf } from "./report.ts";

interface Option {
  readonly default: string;
  readonly min: number;
  readonly max: number;
  readonly whole: boolean;
  readonly help: string;
}

const OPTIONS = {
  "requests": option(1_000, { min: 0.01, max: 1e6, help: "requests a second, of all together" }),
  "writes": option(0.2, { min: 0, max: 1, help: "share of the requests that write" }),
  "latency": option(1, { min: 0, max: 1_000, help: "ms to the database, one way" }),
  "jitter": option(0, { min: 0, max: 1_000, help: "ms that a round trip takes longer on average" }),
  "pauses": option(0, { min: 0, max: 1, help: "pauses of an instance for each request" }),
  "pause": option(2, { min: 0, max: 1_000, help: "ms that one takes on average" }),
  "pause-growth": option(0, { min: 0, max: 100, help: "ms more for each request in progress" }),
  "instances": option(1, {
    min: 1,
    max: 1_000,
    whole: true,
    help: "processes, or Durable Objects (DATABASE_OBJECT_SHARDS)",
  }),
  "size": option(20, { min: 1, max: 1_000, whole: true, help: "DATABASE_POOL_SIZE" }),
  "overflow": option(30, { min: 0, max: 1_000, whole: true, help: "DATABASE_MAX_OVERFLOW" }),
  "read-depth": option("auto", {
    min: 1,
    max: 64,
    whole: true,
    help: "DATABASE_READ_DEPTH: auto, or reads behind one another on a connection",
  }),
  "max-connections": option(97, {
    min: 1,
    max: 1e6,
    whole: true,
    help: "of the database, without those reserved; or the clients that a pooler takes",
  }),
  "server-connections": option(0, {
    min: 0,
    max: 1e5,
    whole: true,
    help: "of a pooler in transaction mode to the database; 0: no pooler",
  }),
  "cores": option(2, { min: 1, max: 512, whole: true, help: "of the database" }),
  "read-service": option(MEASURED_COSTS.read.serviceMs, costOf("of the service for a read")),
  "read-database": option(MEASURED_COSTS.read.databaseMs, costOf("of the database for a read")),
  "write-service": option(MEASURED_COSTS.write.serviceMs, costOf("of the service for a write")),
  "write-database": option(MEASURED_COSTS.write.databaseMs, costOf("of the database for a write")),
  "write-disk": option(MEASURED_COSTS.write.diskMs, {
    ...costOf(""),
    help: "ms that a COMMIT waits for the disk",
  }),
} as const satisfies Record<string, Option>;

type Name = keyof typeof OPTIONS;

function option(
  byDefault: number | "auto",
  { whole = false, ...rest }: Omit<Option, "default" | "whole"> & { readonly whole?: boolean },
): Option {
  return { default: `${byDefault}`, whole, ...rest };
}

function costOf(whom: string) {
  return { min: 0, max: 10_000, help: `ms of CPU time ${whom}` };
}

class ArgumentError extends Error {}

/** Throws `ArgumentError`. */
export function planOf(args: readonly string[]): CapacityPlan {
  const given = valuesOf(args);
  const value = (name: Name): number => {
    const { min, max, whole } = OPTIONS[name];
    const text = given[name]!;
    const number = text.trim() === "" ? NaN : Number(text);
    if (number >= min && number <= max && (!whole || Number.isInteger(number))) return number;
    throw new ArgumentError(
      `Cannot use --${name} as it must be a ${
        whole ? "whole " : ""
      }number from ${min} to ${max}: current value is ${text}`,
    );
  };
  return {
    perSecond: value("requests"),
    writes: value("writes"),
    latencyMs: value("latency"),
    jitterMs: exponentialTimes(value("jitter")),
    pauses: {
      perRequest: value("pauses"),
      lengthsMs: exponentialTimes(value("pause")),
      perConcurrentMs: value("pause-growth"),
    },
    // The CPU times are those of threads that are seldom idle.
    wakeMs: 0,
    instances: value("instances"),
    size: value("size"),
    overflow: value("overflow"),
    readDepth: given["read-depth"] === "auto" ? "auto" : value("read-depth"),
    maxConnections: value("max-connections"),
    serverConnections: value("server-connections") || undefined,
    cores: value("cores"),
    read: {
      serviceMs: value("read-service"),
      databaseMs: value("read-database"),
      diskMs: 0,
    },
    write: {
      serviceMs: value("write-service"),
      databaseMs: value("write-database"),
      diskMs: value("write-disk"),
    },
  };
}

function valuesOf(args: readonly string[]): Readonly<Record<string, string>> {
  const entries = Object.entries(OPTIONS).map(([name, { default: byDefault }]) =>
    [name, { type: "string", default: byDefault }] as const
  );
  try {
    return parseArgs({ args: [...args], options: Object.fromEntries(entries) })
      .values as Record<string, string>;
  } catch (error) {
    throw new ArgumentError(`Cannot read the arguments: ${(error as Error).message}`);
  }
}

function usage(): string {
  return [
    "Usage: deno task capacity [--help] [--json] [--NAME NUMBER …]",
    ...Object.entries(OPTIONS).map(([name, { default: byDefault, help }]) =>
      `  --${name.padEnd(20)}${help}; default ${byDefault}`
    ),
  ].join("\n");
}

if (import.meta.main) {
  if (Deno.args.includes("--help")) {
    console.log(usage());
    Deno.exit(0);
  }
  const asJson = Deno.args.includes("--json");
  try {
    const report = await examinePlan(planOf(Deno.args.filter((arg) => arg !== "--json")));
    console.log(asJson ? JSON.stringify(report, null, 2) : textOf(report));
    Deno.exit(report.fits ? 0 : 1);
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    console.error(`${error.message}\n${usage()}`);
    Deno.exit(2);
  }
}
