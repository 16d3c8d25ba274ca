import { assert, assertEquals } from "@std/assert";
import type { Database } from "../../src/db/mod.ts";
import { PRUNED_AT_ONCE, pruneKeys } from "../../src/queue/prune.ts";
import { localDatabase } from "../support/local_database.ts";

/** A database in which each transaction deletes the next of these numbers of keys; the last one repeats. */
function deleting(...counts: number[]) {
  let transactions = 0;
  const commit = () => Promise.resolve([Array(counts[transactions++] ?? counts.at(-1)).fill({})]);
  const transaction = async (work: (session: { commit: typeof commit }) => Promise<unknown>) =>
    await work({ commit });
  return {
    db: { transaction: transaction as unknown as Database["transaction"] },
    transactions: () => transactions,
  };
}

for (
  const [what, counts, expected] of [
    ["no key is old", [0], 1],
    ["fewer keys than one transaction deletes were left", [PRUNED_AT_ONCE - 1, 0], 1],
    ["as many keys as one transaction deletes were left", [PRUNED_AT_ONCE, 0], 2],
    ["a later transaction deletes fewer", [PRUNED_AT_ONCE, PRUNED_AT_ONCE, 1, 0], 3],
    ["there is no end of old keys", [PRUNED_AT_ONCE], 100],
  ] as const
) {
  Deno.test(`pruneKeys() runs ${expected} transactions if ${what}`, async () => {
    const { db, transactions } = deleting(...counts);
    await pruneKeys(db);
    assertEquals(transactions(), expected);
  });
}

Deno.test("pruneKeys() deletes the keys that are older than 30 days, and only those", async () => {
  const database = await localDatabase();
  await using branch = await database.connect();
  await branch.asAdmin(`
    insert into transaction_keys (key, created_at)
    select 'old ' || number, now() - interval '30 days 1 minute' from generate_series(1, 1001) as number`);
  await branch.asAdmin(`
    insert into transaction_keys (key, created_at) values ('young', now() - interval '29 days 23 hours 59 minutes')`);
  await pruneKeys(branch.open());
  const left = await branch.asAdmin<{ key: string }>("select key from transaction_keys");
  assertEquals(left, [{ key: "young" }]);
  assert(PRUNED_AT_ONCE < 1_001);
});
