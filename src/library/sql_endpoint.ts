/** Whether transactions go to Neon's SQL endpoint, by HTTP, and where it is. */
import { HttpEndpoint, isNeonHost } from "../db/mod.ts";

export const HTTP_MODES = ["auto", "on", "off"] as const satisfies readonly HttpMode[];
/** See `DatabaseConfig.http`. */
export type HttpMode = "auto" | "on" | "off";

interface EndpointChoice {
  readonly url: string;
  readonly wsProxy?: string | undefined;
  readonly http?: HttpMode | undefined;
}

/**
 * The endpoint that the config asks for. `opensPerRequest`: each request opens its own connections, so that one HTTP
 * request saves it the round trips of a login. Throws `TypeError` for "on" where no endpoint is known.
 */
export function sqlEndpoint(
  { url, wsProxy, http = "auto" }: EndpointChoice,
  { opensPerRequest }: { opensPerRequest: boolean },
): HttpEndpoint | undefined {
  const isNeon = isNeonHost(new URL(url).hostname);
  if (http === "off" || http === "auto" && !(opensPerRequest && isNeon)) return undefined;
  if (isNeon) return new HttpEndpoint({ url });
  if (wsProxy !== undefined) return new HttpEndpoint({ url, endpoint: besideRelay(wsProxy) });
  throw new TypeError(HTTP_PROBLEM);
}

/** What is wrong with "on" for a database that has no endpoint. */
export const HTTP_PROBLEM =
  'Cannot send transactions by HTTP as the database is not Neon\'s and has no relay: current http is "on"; ' +
  "set wsProxy to a relay that serves /sql, or leave http out";

function besideRelay(wsProxy: string): string {
  const url = new URL(wsProxy);
  const protocol = url.protocol === "wss:" ? "https:" : "http:";
  return `${protocol}//${url.host}${url.pathname}/sql`;
}
