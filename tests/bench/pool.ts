/** Our pool against pg-pool, generic-pool and tarn, over the same fake connection and with the same bounds. */
import type { Contender } from "./contender.ts";
import { genericPool } from "./contenders/generic_pool.ts";
import { ours } from "./contenders/ours.ts";
import { pgPool } from "./contenders/pg_pool.ts";
import { tarn } from "./contenders/tarn.ts";
import { type Round, runPaired } from "./paired.ts";
import { POOL_ROWS, type Row } from "./pool_rows.ts";
import { type Spread, spreadOf } from "./spread.ts";

export interface RowFigures {
  readonly row: string;
  readonly operations: number;
  readonly contenders: readonly ContenderFigures[];
}

export interface ContenderFigures {
  readonly name: string;
  readonly givesUpBy: string;
  readonly nsPerOperation: Spread;
  /** Its time divided by ours in the same round: above 1, ours is faster. */
  readonly ratio: Spread;
  /** Nanoseconds for one operation, round by round. */
  readonly rounds: readonly number[];
}

/** Ours is the first. */
const CONTENDERS: readonly (() => Contender)[] = [ours, pgPool, genericPool, tarn];

export async function benchPool(): Promise<RowFigures[]> {
  const figures: RowFigures[] = [];
  for (const row of POOL_ROWS) {
    const contenders = CONTENDERS.map((make) => make());
    const turns = contenders.map((contender) => () => row.run(contender, row.operations));
    const rounds = await runPaired(turns, { warmUpRounds: 10, rounds: 40 });
    figures.push(figuresOf(row, contenders, rounds.map((round) => nsPerOperation(round, row))));
    await Promise.all(contenders.map((contender) => contender.close()));
  }
  return figures;
}

function nsPerOperation(round: Round, { operations }: Row): number[] {
  return round.map((ms) => ms * 1e6 / operations);
}

function figuresOf(
  { name, operations }: Row,
  contenders: readonly Contender[],
  rounds: readonly (readonly number[])[],
): RowFigures {
  return {
    row: name,
    operations,
    contenders: contenders.map(({ name, givesUpBy }, k) => ({
      name,
      givesUpBy,
      nsPerOperation: spreadOf(rounds.map((round) => round[k]!)),
      ratio: spreadOf(rounds.map((round) => round[k]! / round[0]!)),
      rounds: rounds.map((round) => round[k]!),
    })),
  };
}
