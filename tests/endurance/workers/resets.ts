/**
 * Durable Objects that are reset again and again while clients read and write: no reader may see it, and what writers are
 * told must be true.
 */
import { sleep } from "../../../src/db/time/timeout.ts";
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";
import { createUser, jsonRequest, newKey, type SendRequest } from "../../http/requests.ts";
import { localDatabase } from "../../support/local_database.ts";
import { startWorkerHost } from "../../support/worker_host.ts";
import { agreementMeasures, type Outcome, OutcomeLog } from "../outcome_log.ts";
import { ErrorTally, latenciesOf } from "../report.ts";
import type { Scenario } from "../scenario.ts";
import { atLeast, type Measure, zero } from "../verdict.ts";

export interface ResetsOptions {
  readonly seconds: number;
  /** A run that has seen too few resets after `seconds`, on a slow machine, goes on until then. */
  readonly atMostSeconds: number;
  /** An object is reset at this request. */
  readonly everyRequests: number;
  readonly readers: number;
  /** Of each kind: with and without an Idempotency-Key. */
  readonly writers: number;
}

const SHARDS = 2;

/** A run that has seen fewer shows too little. */
const LEAST_RESETS = 5;

/** With a key, a client repeats what it has got no result for. */
const KEYED_ATTEMPTS = 20;

export const resetsScenario: Scenario<ResetsOptions> = {
  flags: ["minutes"],
  options: (flags) => {
    const seconds = 60 * flags.positive("minutes", { otherwise: 1, max: 600 });
    return { seconds, atMostSeconds: seconds, everyRequests: 400, readers: 16, writers: 4 };
  },
  run: resets,
};

async function resets(
  { seconds, atMostSeconds, everyRequests, readers, writers }: ResetsOptions,
): Promise<Measure[]> {
  const host = await startWorkerHost(await localDatabase(), {
    name: "objects that are reset",
    entry: "tests/workerd/resetting_object_worker.ts",
    env: {
      DATABASE_OBJECT_SHARDS: `${SHARDS}`,
      DATABASE_POOL_SHED_TARGET: "0",
      RESET_EVERY: `${everyRequests}`,
    },
  });
  try {
    const { id } = await createUser(host.request);
    const run = new ResetRun(host.request);
    const resets = async (): Promise<number> => await (await host.request("/resets")).json();
    let isOver = false;
    const until = async (step: () => Promise<void>) => {
      while (!isOver) await step();
    };
    const watch = async () => {
      try {
        await sleep(seconds * 1_000);
        const deadlineMs = (atMostSeconds - seconds) * 1_000;
        const isEnough = async () => await resets() >= LEAST_RESETS;
        await pollUntil(isEnough, { deadlineMs, intervalMs: 500 });
      } finally {
        isOver = true;
      }
    };
    await Promise.all([
      watch(),
      ...Array.from({ length: readers }, () => until(() => run.read(id))),
      ...Array.from({ length: writers }, () => until(() => run.write({ keyed: false }))),
      ...Array.from({ length: writers }, () => until(() => run.write({ keyed: true }))),
    ]);
    const rows = await host.branch.asAdmin<{ unit: number }>(
      "select substring(email from '^unit-(\\d+)@')::int as unit from users where email like 'unit-%'",
    );
    const { count: reads, p50, p99 } = latenciesOf(run.readMs);
    return [
      ["resets", await resets(), atLeast(LEAST_RESETS)],
      ["reads", reads, atLeast(1)],
      ["p50 of a read, ms", p50],
      ["p99 of a read, ms", p99],
      ["failed reads", run.failedReads, zero],
      ["writes that were answered with 201", run.log.count("done"), atLeast(1)],
      ["writes of unknown outcome, without a key", run.log.count("unknown")],
      ["writes that were refused, without a key", run.log.count("failed")],
      ["repeats of writes with a key", run.repeats],
      ["answers to writes that cannot be true", run.wrongAnswers, zero],
      ...agreementMeasures(run.log.audit(rows.map(({ unit }) => unit))),
      ["uncaught errors of workerd", host.workerd.takeUncaught().length, zero],
      ...run.errors.measures(),
    ];
  } finally {
    await host.stop();
  }
}

class ResetRun {
  readonly log = new OutcomeLog();
  readonly errors = new ErrorTally();
  readonly readMs: number[] = [];
  failedReads = 0;
  repeats = 0;
  wrongAnswers = 0;
  readonly #request: SendRequest;

  constructor(request: SendRequest) {
    this.#request = request;
  }

  async read(id: string): Promise<void> {
    const startedMs = performance.now();
    const { status, text } = await this.#ask(`/users/${id}`);
    this.readMs.push(performance.now() - startedMs);
    if (status === 200) return;
    this.failedReads++;
    this.errors.add(`a read: ${status}`, text);
  }

  async write({ keyed }: { keyed: boolean }): Promise<void> {
    const unit = this.log.begin();
    const user = { email: `unit-${unit}@example.org`, name: "Ada" };
    const init = jsonRequest("POST", user, keyed ? newKey() : {});
    let outcome = await this.#send(init);
    // No wait: the object that follows has its own connections.
    for (let left = KEYED_ATTEMPTS; keyed && outcome !== "done" && left > 1; left--) {
      this.repeats++;
      outcome = await this.#send(init);
    }
    if (keyed && outcome !== "done") this.wrongAnswers++;
    this.log.record(unit, outcome);
  }

  async #send(init: RequestInit): Promise<Outcome> {
    const { status, text } = await this.#ask("/users", init);
    if (status === 201) return "done";
    const { type } = JSON.parse(text) as { type: string };
    if (type === "/problems/outcome-unknown") return "unknown";
    if (type === "/problems/overloaded") return "failed";
    // Such as 409: the client has told of this user for the first time.
    this.wrongAnswers++;
    this.errors.add(`a write: ${status}`, text);
    return "unknown";
  }

  /** An answer that breaks off, or none at all, has the status 0. */
  async #ask(path: string, init?: RequestInit): Promise<{ status: number; text: string }> {
    try {
      const response = await this.#request(path, init);
      return { status: response.status, text: await response.text() };
    } catch (error) {
      return { status: 0, text: JSON.stringify({ type: (error as Error).message }) };
    }
  }
}
