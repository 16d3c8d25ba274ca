import { isNeonHost } from "../db/mod.ts";
import { databaseAddress } from "../library/database_address.ts";
import { findUrlProblem } from "../library/database_url.ts";
import { type Transport, transportOf } from "../library/transport.ts";
import {
  type Postgres,
  type PostgresOptions,
  startPostgres,
  type StopOptions,
} from "./postgres.ts";
import { type RelayOptions, type RelayTarget, startRelay } from "../library/testing/relay/relay.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** The service's database, and the environment variables that lead to it. */
export interface Stack extends AsyncDisposable {
  /** Variables for the service. */
  readonly env: Env;
  /**
   * Variables for the migrations: the same, but with the role of the tables' owner on a server that this stack started.
   */
  readonly ownerEnv: Env;
  /** The server that this stack started; undefined if DATABASE_URL names another. */
  readonly postgres: Postgres | undefined;
  /** Closes the relay, then stops the server within `deadlineMs`. Calling it twice is harmless. */
  stop(options?: StopOptions): Promise<void>;
}

/**
 * Starts a PostgreSQL if `env` names none, with a relay. To a PostgreSQL that it names, a relay is started if the service
 * would need one.
 *
 * @throws {Error} when either can't be started. Nothing is left running then.
 */
export async function startStack(env: Env, options: StackOptions = {}): Promise<Stack> {
  return env["DATABASE_URL"] ? await useDatabase(env, options) : await startDatabase(env, options);
}

/** Where to report what the relay refuses, beside the options of the server. */
export type StackOptions = PostgresOptions & Pick<RelayOptions, "onRefusal">;

async function startDatabase(env: Env, options: StackOptions): Promise<Stack> {
  await using starting = new AsyncDisposableStack();
  const postgres = starting.use(await startPostgres(options));
  const targets = [{ hostname: "127.0.0.1", port: postgres.port }];
  const relay = starting.use(await startRelay({ ...reports(options), targets }));
  starting.move();
  const shared = { ...env, DATABASE_WS_PROXY: relay.url, DATABASE_PIPELINE_CONNECT: "on" };
  const stop: Stack["stop"] = async (options) => {
    await relay.close();
    await postgres.stop(options);
  };
  return {
    env: { ...shared, DATABASE_URL: postgres.url() },
    ownerEnv: { ...shared, DATABASE_URL: postgres.url({ role: "user_service_owner" }) },
    postgres,
    stop,
    [Symbol.asyncDispose]: () => stop(),
  };
}

async function useDatabase(env: Env, options: StackOptions): Promise<Stack> {
  const targets = relayTargets(env);
  if (targets.length === 0) {
    const stop = () => Promise.resolve();
    return { env, ownerEnv: env, postgres: undefined, stop, [Symbol.asyncDispose]: stop };
  }
  const relay = await startRelay({ ...reports(options), targets });
  const relayed = { ...env, DATABASE_WS_PROXY: relay.url };
  const stop = () => relay.close();
  return {
    env: relayed,
    ownerEnv: relayed,
    postgres: undefined,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/**
 * Where a relay is to lead, if one is needed and missing: to the database, and to its replicas. The settings report what is
 * wrong with the variables.
 */
function relayTargets(env: Env): RelayTarget[] {
  const { DATABASE_URL = "", DATABASE_REPLICA_URLS = "", DATABASE_TRANSPORT } = env;
  if (env["DATABASE_WS_PROXY"]) return [];
  const transport = (DATABASE_TRANSPORT || "auto") as Transport;
  const primary = targetOf(DATABASE_URL, transport);
  const replicas = DATABASE_REPLICA_URLS.split(",").map((url) => targetOf(url.trim(), transport));
  return primary === undefined ? [] : [primary, ...replicas.filter((each) => each !== undefined)];
}

/** `undefined` if the server is reached without a relay. */
function targetOf(url: string, transport: Transport): RelayTarget | undefined {
  if (findUrlProblem(url) !== undefined) return undefined;
  const { host, port, socketPath } = databaseAddress(url);
  const isRelayed = transportOf({ url, transport }) === "websocket";
  if (!isRelayed || socketPath !== undefined || isNeonHost(host)) return undefined;
  return { hostname: new URL(url).hostname, port };
}

function reports({ onRefusal }: StackOptions): Pick<RelayOptions, "onRefusal"> {
  return onRefusal === undefined ? {} : { onRefusal };
}
