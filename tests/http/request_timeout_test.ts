import { assert, assertEquals } from "@std/assert";
import type { SessionOptions, TransactionRunner } from "../../src/db/mod.ts";
import { untouchedDatabase } from "./fake_database.ts";
import { testApp } from "./test_app.ts";

const STATEMENT_TIMEOUT_MS = 15_000;

/** The options with which a request opens its unit of work. */
async function optionsOf(
  header: string | undefined,
  { statementTimeoutMs = STATEMENT_TIMEOUT_MS }: { statementTimeoutMs?: number } = {},
): Promise<SessionOptions> {
  let seen: SessionOptions | undefined;
  const db: TransactionRunner = {
    ...untouchedDatabase,
    transaction(_work, options) {
      seen = options;
      throw new Error("seen");
    },
  };
  const app = testApp({ db, statementTimeoutMs });
  const headers: HeadersInit = header === undefined ? {} : { "Request-Timeout": header };
  await (await app.request("/users", { headers })).body?.cancel();
  return seen!;
}

Deno.test("Request-Timeout shortens the server's limit for a statement, and never lengthens it", async () => {
  assertEquals((await optionsOf("0.2")).statementTimeoutMs, 256);
  assertEquals((await optionsOf("0.001")).statementTimeoutMs, 1);
  assertEquals((await optionsOf("3600")).statementTimeoutMs, STATEMENT_TIMEOUT_MS);
  assertEquals((await optionsOf("10", { statementTimeoutMs: 20 })).statementTimeoutMs, 20);
  // As in PostgreSQL, 0 is no limit.
  assertEquals((await optionsOf("0.2", { statementTimeoutMs: 0 })).statementTimeoutMs, 256);
});

Deno.test("without Request-Timeout a unit of work has neither a signal nor a limit of the request", async () => {
  const { signal, statementTimeoutMs } = await optionsOf(undefined);
  assertEquals([signal, statementTimeoutMs], [undefined, undefined]);
});

Deno.test("the server gets few different limits, of which the layer keeps what it sends", async () => {
  const seen = new Set<number | undefined>();
  for (let ms = 1; ms < 4_000; ms += 37) {
    seen.add((await optionsOf((ms / 1_000).toFixed(3))).statementTimeoutMs);
  }
  assert(seen.size <= 13, [...seen].join(" "));
});
