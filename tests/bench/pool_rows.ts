/** The measurements of each pool. One run acquires and releases a connection `operations` times. */
import { BOUNDS, type Contender } from "./contender.ts";
import { loopTurn, microtask } from "./holds.ts";

export interface Row {
  readonly name: string;
  /** Operations of each contender in each round. */
  readonly operations: number;
  run(contender: Contender, operations: number): Promise<void>;
}

const WAITERS = 64;
const ABORT_ONE_IN = 100;

export const POOL_ROWS: readonly Row[] = [
  { name: "uncontended", operations: 20_000, run: uncontended },
  {
    name: `${WAITERS} waiters on ${BOUNDS.connections}, held for a microtask`,
    operations: 20_000,
    run: (contender, operations) => contended(contender, { operations, hold: microtask }),
  },
  {
    name: `${WAITERS} waiters on ${BOUNDS.connections}, held for a turn of the event loop`,
    operations: 10_000,
    run: (contender, operations) => contended(contender, { operations, hold: loopTurn }),
  },
  {
    name: "the same, a signal for 1 % of the acquires, all of them aborted",
    operations: 10_000,
    run: (contender, operations) =>
      contended(contender, { operations, hold: loopTurn, signals: "aborted" }),
  },
  {
    name: "the same, a signal for each acquire, 1 % of them aborted",
    operations: 10_000,
    run: (contender, operations) =>
      contended(contender, { operations, hold: loopTurn, signals: "all" }),
  },
];

async function uncontended(contender: Contender, operations: number): Promise<void> {
  for (let i = 0; i < operations; i++) contender.release(await contender.acquire());
}

interface Contention {
  readonly operations: number;
  hold(): Promise<void>;
  /** Which acquires have a signal that may abort them. */
  readonly signals?: "none" | "aborted" | "all";
}

/** Runs as many callers as there are connections, and `WAITERS` more, which wait. */
async function contended(
  contender: Contender,
  { operations, hold, signals = "none" }: Contention,
): Promise<void> {
  let begun = 0;
  let held = 0;
  let aborted = 0;
  let toAbort: AbortController | undefined;

  const ask = async () => {
    // Each caller uses its signal again until it aborts: making one costs more than an acquire.
    let controller = new AbortController();
    while (begun < operations) {
      const isAborted = signals !== "none" && ++begun % ABORT_ONE_IN === 0;
      if (signals === "none") begun++;
      try {
        const acquiring = isAborted || signals === "all"
          ? contender.acquireUnless(controller.signal)
          : contender.acquire();
        if (isAborted) toAbort = controller;
        const connection = await acquiring;
        if (++held > BOUNDS.connections) throw new Error(`${contender.name} exceeds its bound`);
        await hold();
        held--;
        // At this point the queue has waiters before it and behind it.
        toAbort?.abort();
        toAbort = undefined;
        contender.release(connection);
      } catch (error) {
        if (!controller.signal.aborted) throw error;
        controller = new AbortController();
        aborted++;
      }
    }
  };

  await Promise.all(Array.from({ length: WAITERS + BOUNDS.connections }, ask));
  const expected = signals === "none" ? 0 : Math.floor(operations / ABORT_ONE_IN);
  // No later caller may be left to abort the last waiters.
  if (aborted > expected || aborted < 0.9 * expected) {
    throw new Error(`${contender.name}: ${aborted} of ${expected} aborts were seen`);
  }
}
