/** The service with an `OPS_TOKEN`, for the tests of `guard_test.ts` and `sign_in_test.ts`. */
import { start, type StartOptions } from "../../src/deno/service.ts";
import { Authenticator } from "../../src/access/authenticator.ts";
import { operatorsOf } from "../../src/ops/operators.ts";
import { Guesses } from "../../src/ops/guesses.ts";
import { localDatabase } from "../support/local_database.ts";

export const database = await localDatabase();

export const TOKEN = "a-token-of-24-characters";

export const operators = operatorsOf(new Authenticator({ tokens: [] }), TOKEN);

export type Get = (path: string, headers?: Record<string, string>) => Promise<Response>;

export async function serving(
  env: Record<string, string>,
  run: (get: Get, url: string) => Promise<void>,
  options: StartOptions = {},
): Promise<void> {
  await using branch = await database.connect();
  const service = await start({ ...branch.env, PORT: "0", LOG_LEVEL: "error", ...env }, {
    hostname: "127.0.0.1",
    ...options,
  });
  // Connections that stay open would hold up the shutdown of each test for 400 ms.
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  try {
    await run(
      (path, headers = {}) => fetch(`${service.url}${path}`, { headers, client }),
      service.url,
    );
  } finally {
    await service.shutdown();
  }
}

export async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.body?.cancel();
  return response.status;
}

export const BEARER = { Authorization: `Bearer ${TOKEN}` };

export function noGuesses(): Guesses {
  return new Guesses({ clientOf: () => "client", onRefused: () => {} });
}
