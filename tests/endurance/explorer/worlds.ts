/** The pools that each program is run on. */
export interface World {
  readonly name: string;
  /** Permits of the pool, all of whose connections are kept. */
  readonly size: number;
  readonly pipelined: boolean;
  /** Whether each unit is run for a request of its own, which ends after it. */
  readonly byRequest: boolean;
  /** Whether the connections are known to be direct, so that reads may share them. */
  readonly isDirect: boolean;
  /** How long its connections have been idle when the program begins; `undefined` if there are none yet. */
  readonly idleMs: number | undefined;
}

const COLD = { pipelined: false, byRequest: false, isDirect: false, idleMs: undefined };

export const WORLDS: readonly World[] = [
  { name: "cold, 1 permit", ...COLD, size: 1, isDirect: true },
  { name: "pipelined, 2 permits", ...COLD, size: 2, pipelined: true },
  { name: "warm, 1 permit", ...COLD, size: 1, idleMs: 100 },
  { name: "long idle, 2 permits", ...COLD, size: 2, isDirect: true, idleMs: 5_000 },
  { name: "by request, 2 permits", ...COLD, size: 2, byRequest: true },
];
