/** The process of `load.ts`. */
import { FineTimer } from "../fine_timer.ts";
import { HttpConnection } from "./http_connection.ts";
import { linesOf } from "./lines.ts";
import type { Latencies, Load, LoadFigures } from "./load.ts";
import { requestsOf } from "./operations.ts";

/** Beyond it, requests wait in the generator, and their latencies count that wait. */
const CONNECTIONS_MAX = 3_000;

/** For requests that are still unanswered when an open loop has sent its last. */
const LAST_ANSWERS_MS = 5_000;

/** In `Latencies.times`. */
const TIMES = 1_000;

class Tally {
  readonly #accepted: number[] = [];
  readonly #refused: number[] = [];
  #failed = 0;
  #firstFailure: string | undefined;
  #inTime = 0;
  readonly #fromMs: number;

  /** Requests that are due earlier do not count. */
  constructor(fromMs: number) {
    this.#fromMs = fromMs;
  }

  /** `answer`: a status, or why there is none. */
  answered(answer: number | Error, { dueMs, nowMs }: { dueMs: number; nowMs: number }): void {
    const isAccepted = typeof answer === "number" && answer >= 200 && answer < 300;
    if (isAccepted && nowMs >= this.#fromMs) this.#inTime++;
    if (dueMs < this.#fromMs) return;
    if (isAccepted) this.#accepted.push(nowMs - dueMs);
    else if (answer === 503) this.#refused.push(nowMs - dueMs);
    else {
      this.#failed++;
      this.#firstFailure ??= typeof answer === "number" ? `status ${answer}` : answer.message;
    }
  }

  get count(): number {
    return this.#accepted.length + this.#refused.length + this.#failed;
  }

  /** Accepted answers that have come so far, to whichever requests. */
  get inTime(): number {
    return this.#inTime;
  }

  figures(seconds: number, inTime = this.#inTime): LoadFigures {
    return {
      seconds,
      goodput: inTime / seconds,
      accepted: latenciesOf(this.#accepted),
      refused: latenciesOf(this.#refused),
      failed: this.#failed,
      ...(this.#firstFailure !== undefined && { firstFailure: this.#firstFailure }),
    };
  }
}

function latenciesOf(values: number[]): Latencies {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return {
    count: sorted.length,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    times: Array.from({ length: TIMES }, (_, k) => at((k + 0.5) / TIMES)),
  };
}

/** All of 127.0.0.0/8 is this machine. */
function connectionOf({ port, addresses = 1 }: Load, index: number): HttpConnection {
  const from = addresses === 1 ? undefined : `127.0.0.${1 + index % addresses}`;
  return new HttpConnection(port, { from });
}

async function closedLoop(load: Load, connections: number): Promise<LoadFigures> {
  const next = requestsOf(load.operation, load);
  const startedAt = performance.now();
  const countFromMs = startedAt + (load.rampMs ?? 0);
  const end = countFromMs + load.durationMs;
  const tally = new Tally(countFromMs);
  await Promise.all(Array.from({ length: connections }, async (_, index) => {
    using connection = connectionOf(load, index);
    for (let dueMs = performance.now(); dueMs < end;) {
      const answer = await connection.ask(next()).catch((error: Error) => error);
      const nowMs = performance.now();
      tally.answered(answer, { dueMs, nowMs });
      dueMs = nowMs;
    }
  }));
  return tally.figures((performance.now() - countFromMs) / 1_000);
}

async function openLoop(load: Load, requestsPerSecond: number): Promise<LoadFigures> {
  const next = requestsOf(load.operation, load);
  const idle: HttpConnection[] = [];
  const all: HttpConnection[] = [];
  const due: number[] = [];
  const { rampMs = 0, durationMs } = load;
  const startedAt = performance.now();
  // The rate rises evenly: of so many connections that open at once, some would wait for a second SYN.
  const rising = Math.ceil(rampMs / 2_000 * requestsPerSecond);
  const countFromMs = startedAt + rampMs;
  const dueAt = (k: number) =>
    k < rising
      ? startedAt + rampMs * Math.sqrt(k / rising)
      : countFromMs + (k - rising) / requestsPerSecond * 1_000;
  const counted = Math.floor(durationMs / 1_000 * requestsPerSecond);
  const total = rising + counted;
  const tally = new Tally(countFromMs);
  const send = async (connection: HttpConnection) => {
    for (let dueMs = due.shift(); dueMs !== undefined; dueMs = due.shift()) {
      const answer = await connection.ask(next()).catch((error: Error) => error);
      tally.answered(answer, { dueMs, nowMs: performance.now() });
    }
    idle.push(connection);
  };
  for (let sent = 0; sent < total;) {
    for (const nowMs = performance.now(); sent < total && dueAt(sent) <= nowMs; sent++) {
      due.push(dueAt(sent));
      let connection = idle.pop();
      if (connection === undefined && all.length < CONNECTIONS_MAX) {
        all.push(connection = connectionOf(load, all.length));
      }
      // Without one, the next connection that is answered takes it.
      if (connection !== undefined) void send(connection);
    }
    await new Promise<void>((resolve) => timer.after(dueAt(sent) - performance.now(), resolve));
  }
  const seconds = (performance.now() - countFromMs) / 1_000;
  const { inTime } = tally;
  const giveUpAt = performance.now() + LAST_ANSWERS_MS;
  while (tally.count < counted && performance.now() < giveUpAt) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const figures = tally.figures(seconds, inTime);
  for (const connection of all) connection[Symbol.dispose]();
  const unanswered = counted - (figures.accepted.count + figures.refused.count + figures.failed);
  return { ...figures, failed: figures.failed + unanswered };
}

const timer = await FineTimer.start();
console.log("ready");
for await (const line of linesOf(Deno.stdin.readable)) {
  const load: Load = JSON.parse(line);
  // Of the runs before.
  (globalThis as { gc?: () => void }).gc?.();
  const { by } = load;
  const figures = "connections" in by
    ? await closedLoop(load, by.connections)
    : await openLoop(load, by.requestsPerSecond);
  console.log(JSON.stringify(figures));
}
Deno.exit(0);
