/** wrangler.toml against the code. */
import { assert, assertEquals } from "@std/assert";

const text = await Deno.readTextFile(new URL("../../wrangler.toml", import.meta.url));

Deno.test("the consumer has as many connections as batches may run in one isolate", () => {
  const all = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, count]) => count);
  const permits = all(/^QUEUE_CONCURRENCY = "(\d+)"$/gm);
  assert(permits.length === 2, "one for each environment");
  assertEquals(permits, all(/^max_concurrency = (\d+)$/gm));
});
