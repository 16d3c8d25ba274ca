/** Times contenders in turns, so that whatever else the machine does meets all of them alike. */

export interface Turns {
  readonly warmUpRounds: number;
  readonly rounds: number;
  /** Before each turn, untimed. */
  prepare?(contender: number): Promise<void>;
}

/** Milliseconds for one turn, in the order of the contenders. */
export type Round = readonly number[];

export async function runPaired(
  turns: readonly (() => Promise<unknown>)[],
  { warmUpRounds, rounds, prepare }: Turns,
): Promise<Round[]> {
  const timed: Round[] = [];
  for (let i = 0; i < warmUpRounds + rounds; i++) {
    const round = Array<number>(turns.length).fill(NaN);
    for (const j of turns.keys()) {
      // Each follows each of the others equally often.
      const k = (i + j) % turns.length;
      await prepare?.(k);
      round[k] = await time(turns[k]!);
    }
    if (i >= warmUpRounds) timed.push(round);
  }
  return timed;
}

async function time(turn: () => Promise<unknown>): Promise<number> {
  // So that nobody pays for the garbage of the one before.
  (globalThis as { gc?: () => void }).gc?.();
  const startedAt = performance.now();
  await turn();
  return performance.now() - startedAt;
}
