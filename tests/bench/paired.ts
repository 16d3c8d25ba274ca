/** Times contenders in turns, so that whatever else the machine does meets all of them alike. */
import type { Contender } from "./contender.ts";
import type { Row } from "./pool_rows.ts";

const WARM_UP_ROUNDS = 10;
const ROUNDS = 40;

/** Nanoseconds for one operation, in the order of the contenders. */
export type Round = readonly number[];

export async function runPaired(row: Row, contenders: readonly Contender[]): Promise<Round[]> {
  const rounds: Round[] = [];
  for (let i = 0; i < WARM_UP_ROUNDS + ROUNDS; i++) {
    const round = Array<number>(contenders.length).fill(NaN);
    for (const j of contenders.keys()) {
      // Each follows each of the others equally often.
      const k = (i + j) % contenders.length;
      round[k] = await time(row, contenders[k]!);
    }
    if (i >= WARM_UP_ROUNDS) rounds.push(round);
  }
  return rounds;
}

async function time(row: Row, contender: Contender): Promise<number> {
  // So that nobody pays for the garbage of the one before.
  (globalThis as { gc?: () => void }).gc?.();
  const startedAt = performance.now();
  await row.run(contender, row.operations);
  return (performance.now() - startedAt) * 1e6 / row.operations;
}
