/** A typed client of this API, for programs in TypeScript. It needs nothing of the service but its types. */

import { type ApplyGlobalResponse, type ClientRequestOptions, hc } from "hono/client";
import type { createApp } from "./app.ts";
import type { ProblemDocument } from "./documents.ts";
import type { ProblemKind, problemKinds } from "./problem.ts";

type Problems = {
  [Status in (typeof problemKinds)[ProblemKind][0]]: { json: ProblemDocument };
};

/** The routes of the service, each with its own responses and with the problem documents. */
export type ServiceApi = ApplyGlobalResponse<ReturnType<typeof createApp>, Problems>;

export type ServiceClient = ReturnType<typeof serviceClient>;

export interface ServiceClientOptions extends ClientRequestOptions {
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string | undefined;
}

/**
 * A client of the service at `url`. A response is not thrown, whatever its status: look at `ok` or at `status`, which also
 * tells the type of the body.
 *
 * ```ts
 * const client = serviceClient("https://users.example.com", { token });
 * const response = await client.users.$post({ json: { email: "ada@example.com", name: "Ada" } });
 * if (response.status === 201) console.log((await response.json()).id);
 * else if (response.status === 409) console.log((await response.json()).detail);
 * ```
 */
export function serviceClient(url: string, { token, ...options }: ServiceClientOptions = {}) {
  const authorization = token === undefined
    ? {}
    : { headers: { Authorization: `Bearer ${token}` } };
  return hc<ServiceApi>(url, { ...authorization, ...options });
}
