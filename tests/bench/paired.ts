/** Times contenders in turns, so that other load of the machine meets all of them equally. */

export interface Turns {
  readonly warmUpRounds: number;
  readonly rounds: number;
  /** Runs before each turn, untimed. */
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
      // Each contender follows each of the others equally often.
      const k = (i + j) % turns.length;
      await prepare?.(k);
      round[k] = await time(turns[k]!);
    }
    if (i >= warmUpRounds) timed.push(round);
  }
  return timed;
}

async function time(turn: () => Promise<unknown>): Promise<number> {
  // A contender must not pay for its predecessor's garbage.
  (globalThis as { gc?: () => void }).gc?.();
  const startedAt = performance.now();
  await turn();
  return performance.now() - startedAt;
}
