import { isNeonHost } from "../../db/mod.ts";
import type { DatabaseConfig } from "../database_config.ts";
import { startRelay } from "./relay/relay.ts";

/** How to reach a test's database: for `openDatabase`, with more options beside it. */
export type TestConfig = Pick<DatabaseConfig, "url" | "wsProxy" | "pipelineConnect">;

/** Access to a database, until it is disposed of. */
export interface Reached extends AsyncDisposable {
  readonly config: TestConfig;
}

/** Starts a relay in front of the server of the URL, unless it is Neon's. Our own server asks for passwords in clear text. */
export async function reach(
  url: string,
  { isOurs = false }: { isOurs?: boolean } = {},
): Promise<Reached> {
  const { hostname, port } = new URL(url);
  if (isNeonHost(hostname)) {
    return { config: { url }, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const relay = await startRelay({ targets: [{ hostname, port: Number(port || 5432) }] });
  return {
    config: { url, wsProxy: relay.url, pipelineConnect: isOurs },
    [Symbol.asyncDispose]: () => relay.close(),
  };
}
