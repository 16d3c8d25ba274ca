/** Every expectation of the fleet, shown to be able to fail. */
import { OutcomeLog } from "../outcome_log.ts";
import { disagreed, disagreements, verdictTest } from "../verdict_case.ts";
import { fleetReport, type FleetResult } from "./fleet.ts";
import { type Answered, Tally } from "./tally.ts";

const ANSWERED: Answered = {
  kind: "read",
  status: 200,
  text: "",
  problem: undefined,
  retryAfter: undefined,
  tookMs: 10,
};

/** What the clients of a process were answered: 100 times in time, and then as given. */
function tallyOf(
  { calm = [], kills = [], served = 100, tookMs = 10 }: {
    calm?: Partial<Answered>[];
    kills?: Partial<Answered>[];
    served?: number;
    tookMs?: number;
  } = {},
): Tally {
  const tally = new Tally();
  tally.phase = "calm";
  for (let k = 0; k < served; k++) tally.add({ ...ANSWERED, tookMs });
  for (const answered of calm) tally.add({ ...ANSWERED, ...answered });
  tally.phase = "kills";
  for (const answered of kills) tally.add({ ...ANSWERED, ...answered });
  return tally;
}

const overloaded = { status: 503, problem: "overloaded", retryAfter: "1" };
const unreachable = { ...overloaded, problem: "database-unreachable" };
const unknown = { status: 500, problem: "outcome-unknown" };
const unsettled = tallyOf();
unsettled.unsettled++;
const outcomes = new OutcomeLog().counts();

/** A violation of one process among two. */
function ofProcess(tally: Tally, violation: string): readonly [Partial<FleetResult>, string] {
  return [{ tallies: [tallyOf(), tally] }, violation];
}

verdictTest<FleetResult>("fleet", {
  reportOf: fleetReport,
  good: {
    processes: 2,
    clients: 10,
    serverConnections: 4,
    connections: 2,
    warmUpMs: 0,
    calmMs: 1_000,
    killsMs: 1_000,
    killEveryMs: 100,
    restartEveryMs: 100,
    fairness: { goodput: 0.2, p99: 0.2 },
    seed: 1,
    tallies: [
      tallyOf(),
      tallyOf({ calm: [overloaded], kills: [overloaded, unreachable, unknown] }),
    ],
    outcomes: { ...outcomes, done: 1 },
    disagreements,
    kills: 1,
    restarts: 1,
    mostBackends: 4,
    inTransaction: 0,
    leftBackends: 0,
    failedExits: 0,
    failures: [],
  },
  violations: [
    ofProcess(
      tallyOf({ served: 200 }),
      "calm: unfairness of goodput: 0.33, expected at most 0.2",
    ),
    ofProcess(tallyOf({ tookMs: 30 }), "calm: unfairness of p99: 0.5, expected at most 0.2"),
    ofProcess(tallyOf({ calm: [unreachable] }), "other error answers: 1, expected 0"),
    ofProcess(tallyOf({ calm: [unknown] }), "other error answers: 1, expected 0"),
    ofProcess(
      tallyOf({ kills: [{ ...overloaded, retryAfter: undefined }] }),
      "other error answers: 1, expected 0",
    ),
    ofProcess(tallyOf({ kills: [{ status: 504 }] }), "other error answers: 1, expected 0"),
    ofProcess(tallyOf({ kills: [{ status: 0 }] }), "other error answers: 1, expected 0"),
    ofProcess(
      tallyOf({ kills: Array(6).fill(unknown) }),
      "kills: writes without a key of unknown outcome: 6, expected at most 5",
    ),
    ofProcess(unsettled, "writes with a key that never got its answer: 1, expected 0"),
    [{ kills: 0 }, "backends terminated: 0, expected at least 1"],
    [{ restarts: 0 }, "PgBouncer killed: 0, expected at least 1"],
    [{ outcomes }, "writes done: 0, expected at least 1"],
    [{ outcomes: { ...outcomes, done: 1, hung: 1 } }, "requests that hung: 1, expected 0"],
    ...disagreed,
    [{ mostBackends: 5 }, "most backends at once: 5, expected at most 4"],
    [{ inTransaction: 1 }, "backends in a transaction, at rest: 1, expected 0"],
    [{ leftBackends: 1 }, "backends at the end: 1, expected 0"],
    [{ failedExits: 1 }, "processes that ended with an error: 1, expected 0"],
  ],
});
