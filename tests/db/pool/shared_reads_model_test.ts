/**
 * Random histories of reads that share connections, with errors, aborts, slow answers, writes in between and connections
 * that die: each caller gets its own rows or its own error, and no caller waits for ever. `SHARED_READS_SEED` repeats one.
 */
import { assert, assertRejects } from "@std/assert";
import { type Coverage, playHistory } from "./shared_reads_model.ts";

const RUNS = 10_000;

const chosen = Deno.env.get("SHARED_READS_SEED");

Deno.test(`${RUNS} histories: each caller gets its own rows or its own error`, async () => {
  const seeds = chosen === undefined ? Array.from({ length: RUNS }, (_, n) => n) : [Number(chosen)];
  const total: Partial<Coverage> = {};
  for (const seed of seeds) {
    for (const [name, count] of Object.entries(await playHistory({ seed }))) {
      total[name as keyof Coverage] = (total[name as keyof Coverage] ?? 0) + count;
    }
  }
  if (chosen !== undefined) return;
  // Otherwise the histories would show little.
  for (const [name, count] of Object.entries(total)) {
    assert(count > RUNS / 20, `${name}: ${count} in all`);
  }
});

Deno.test("a server that mixes up the rows of two callers is found out", async () => {
  let found = 0;
  for (let seed = 0; seed < 100; seed++) {
    await playHistory({ seed, mixesUp: true }).catch(({ message }: Error) => {
      assert(/got the rows of|got an error of another/.test(message), message);
      found++;
    });
  }
  assert(found > 50, `in ${found} of 100 histories`);
});

Deno.test("an error tells the seed of its history", async () => {
  await assertRejects(
    async () => {
      for (let seed = 0; seed < 100; seed++) await playHistory({ seed, mixesUp: true });
    },
    Error,
    "seed ",
  );
});
