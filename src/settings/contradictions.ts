/** What is wrong with variables that are each valid alone. */

import { isNeonHost } from "../db/mod.ts";
import { replicaProblem } from "../library/replica_places.ts";
import {
  needsRelay,
  type TcpAbilities,
  type Transport,
  transportOf,
  transportProblem,
} from "../library/transport.ts";
import type { Values } from "./schema.ts";

/** What the runtime can do, and what for. */
export interface Runtime extends TcpAbilities {
  /** Whether it answers requests, and so must know whose. Tasks such as `deno task migrate` answer none. */
  readonly serves?: boolean;
}

/** In each pair the first timeout can never take effect if it is longer than the second. */
const SHORTER_FIRST = [
  ["DATABASE_LOCK_TIMEOUT", "DATABASE_STATEMENT_TIMEOUT"],
  ["DATABASE_STATEMENT_TIMEOUT", "DATABASE_TRANSACTION_TIMEOUT"],
  ["DATABASE_POOL_SHED_TARGET", "DATABASE_POOL_TIMEOUT"],
] as const;

/** The variables as they were set. */
interface Given {
  readonly given: Readonly<Record<string, unknown>>;
  readonly isInvalid: (name: string) => boolean;
}

/**
 * Contradictions between variables that are both set, and between variables and the runtime. A default that contradicts a
 * set variable is accepted.
 */
export function contradictions(
  values: Values,
  { runtime, ...variables }: Given & { readonly runtime: Runtime },
): string[] {
  const { given, isInvalid } = variables;
  const found = SHORTER_FIRST
    .filter((pair) => pair.every((name) => name in given && !isInvalid(name)))
    .filter(([short, long]) => values[short] > values[long])
    .map(([short, long]) =>
      `Cannot use ${short} as it is longer than ${long} and would never take effect: ` +
      `current values ${given[short]} and ${given[long]}; make it shorter, or leave it out`
    );
  found.push(...queueConcurrencyProblems(values, variables));
  found.push(...accessProblems(variables, runtime));
  found.push(...replicaProblems(values, variables, runtime));
  found.push(...twinProblems(values, variables));
  if (
    !["URL", "REPLICA_URLS", "WS_PROXY", "TRANSPORT", "HTTP"].some((name) =>
      isInvalid(`DATABASE_${name}`)
    )
  ) {
    found.push(...transportProblems(values, runtime));
  }
  return found;
}

/** Without any tokens every request would be refused. Half of the settings for JWTs would accept too many. */
function accessProblems({ given, isInvalid }: Given, { serves = false }: Runtime): string[] {
  const jwt = ["AUTH_JWKS_URL", "AUTH_ISSUER", "AUTH_AUDIENCE"];
  const [set, unset] = [
    jwt.filter((name) => name in given),
    jwt.filter((name) => !(name in given)),
  ];
  if (set.length > 0 && unset.length > 0) {
    return [
      `Cannot use ${set.join(" and ")} as ${jwt.join(", ")} belong together: current ` +
      `${unset.join(" and ")} is none; set all three, or none`,
    ];
  }
  if (!serves || set.length > 0 || "API_TOKENS" in given || isInvalid("API_TOKENS")) return [];
  return [
    "Cannot serve requests as no client could send one: current API_TOKENS and AUTH_JWKS_URL are none; set one of them, " +
    "see src/access/README.md, or let `deno task dev` make a token",
  ];
}

/** Where replicas would not answer, or cost more than they save. */
function replicaProblems(
  { DATABASE_ISOLATION_LEVEL: isolation }: Values,
  { given }: Given,
  { hasFiles }: Runtime,
): string[] {
  if (!("DATABASE_REPLICA_URLS" in given) || hasFiles && isolation === "read committed") return [];
  const reason = hasFiles
    ? `they answer at read committed only: current DATABASE_ISOLATION_LEVEL is "${isolation}"`
    : "each request would connect to one more server: current runtime is Workers";
  return [`Cannot use DATABASE_REPLICA_URLS as ${reason}; leave it out`];
}

/** A replica that is the primary, or another replica. */
function twinProblems(
  { DATABASE_URL: primary, DATABASE_REPLICA_URLS: replicas = [] }: Values,
  { isInvalid }: Given,
): string[] {
  if (isInvalid("DATABASE_URL") || isInvalid("DATABASE_REPLICA_URLS")) return [];
  const twin = replicaProblem(primary, replicas);
  if (twin === undefined) return [];
  const { replica, reason, wayOut } = twin;
  return [
    `Cannot use DATABASE_REPLICA_URLS as of URL ${replica} ${reason}: current value is hidden; ${wayOut}`,
  ];
}

/** Why the database, or a replica, cannot be reached over the transport. */
function transportProblems(values: Values, tcp: TcpAbilities): string[] {
  const { DATABASE_URL, DATABASE_REPLICA_URLS: replicas = [], DATABASE_WS_PROXY: relay } = values;
  if (
    values.DATABASE_HTTP === "on" && !isNeon(DATABASE_URL) && relay === undefined
  ) {
    return [
      'Cannot use DATABASE_HTTP as only Neon and a relay have a SQL endpoint: current value is "on"; leave it out, or ' +
      "set DATABASE_WS_PROXY to a relay that has one",
    ];
  }
  const transport = chosenTransport(values);
  return [DATABASE_URL, ...replicas].flatMap((url, place) => {
    const cannot = place === 0
      ? "Cannot use DATABASE_URL as"
      : `Cannot use DATABASE_REPLICA_URLS as of URL ${place}`;
    const problem = transportProblem(url, { transport, ...tcp });
    if (problem !== undefined) {
      return [`${cannot} ${problem.reason}: current value is hidden; ${problem.wayOut}`];
    }
    if (!needsRelay({ url, wsProxy: relay }, transport)) return [];
    return [
      `${cannot} its host is not Neon's and needs a WebSocket relay: current ` +
      `DATABASE_WS_PROXY is none; set it to a relay ("deno task relay" runs one, as does Neon's ` +
      `wsproxy), leave DATABASE_TRANSPORT out, or let "deno task dev" start everything`,
    ];
  });
}

function isNeon(url: string): boolean {
  return isNeonHost(new URL(url).hostname);
}

/** What `DATABASE_TRANSPORT` has chosen or `auto` stands for. */
export function chosenTransport(values: Values): Exclude<Transport, "auto"> {
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy, DATABASE_TRANSPORT: transport } = values;
  return transportOf({ url, wsProxy, transport });
}

/**
 * The queue's workers share the pool with requests, and the pool serves callers in order of arrival. With as many
 * workers as connections, requests would have to wait for messages.
 */
function queueConcurrencyProblems(
  {
    QUEUE_CONCURRENCY: concurrency,
    DATABASE_POOL_SIZE: size,
    DATABASE_MAX_OVERFLOW: overflow,
  }: Values,
  { given, isInvalid }: Given,
): string[] {
  const names = ["QUEUE_CONCURRENCY", "DATABASE_POOL_SIZE", "DATABASE_MAX_OVERFLOW"];
  if (!("QUEUE_CONCURRENCY" in given) || names.some(isInvalid)) return [];
  if (concurrency === 0 || concurrency < size + overflow) return [];
  return [
    `Cannot use QUEUE_CONCURRENCY as it leaves no connection to requests: current value is ${concurrency}, of ` +
    `DATABASE_POOL_SIZE + DATABASE_MAX_OVERFLOW = ${size + overflow}; make it smaller`,
  ];
}
