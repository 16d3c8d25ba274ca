/** `shutdown`: clients with keep-alive connections write on while the service gets SIGTERM. */
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { atLeast, atMost, type Measure, zero } from "../endurance/verdict.ts";
import { attack, type Attacker } from "./clients.ts";
import { isJson, sleep } from "./connections.ts";
import { startTarget } from "./target.ts";
import { TOKEN_LINE } from "../support/token.ts";

export interface ShutdownOptions {
  readonly clients: number;
  /** Longest pause of a client between an answer and its next request. */
  readonly pauseMs: number;
  /**
   * Connections that the closing of the listener may reset. Without it they are only counted: on a busy machine there is no
   * bound, as each stop of the process in that moment adds to them.
   */
  readonly maxResets?: number;
}

/** What became of the requests, by the answer. A request that was sent and not answered may have been executed. */
interface Outcome {
  created: number;
  refused: number;
  lost: number;
  /**
   * Sent into a new connection that ended without an answer. The kernel completes connections before the process accepts
   * them, and resets those that wait when the listener closes: the process can keep that moment short, and not avoid it.
   */
  reset: number;
  /** Answers with 503 without `Connection: close`, after which the client sends into a connection that closes. */
  keptOpen: number;
}

export async function shutdown(
  { clients, pauseMs, maxResets }: ShutdownOptions,
): Promise<Measure[]> {
  await using target = await startTarget({});
  const outcome: Outcome = { created: 0, refused: 0, lost: 0, reset: 0, keptOpen: 0 };
  const running = Array.from(
    { length: clients },
    (_, index) => writeOn(target.port, { index, pauseMs, outcome }),
  );
  // Each client has been served about twice, and most of them are in a pause or in a request.
  await pollUntil(() => outcome.created >= 2 * clients, { deadlineMs: 30_000, intervalMs: 10 });
  const createdBefore = outcome.created;
  const sinceMs = performance.now();
  target.signal("SIGTERM");
  const { code } = await target.ended;
  const tookMs = performance.now() - sinceMs;
  await Promise.all(running);
  const stored = await target.countUsers();
  return [
    ["clients", clients],
    ["requests before the signal", createdBefore, atLeast(clients)],
    ["requests served after it", outcome.created - createdBefore],
    ["requests refused with 503", outcome.refused],
    ["refusals without Connection: close", outcome.keptOpen, zero],
    ["requests sent into a kept connection and never answered", outcome.lost, zero],
    resetsOf(outcome, maxResets),
    ["users stored without an answer", stored - outcome.created, zero],
    ["exit code", code, zero],
    ["time from the signal to the exit (ms)", tookMs, atMost(5_500)],
    ["lines that are not JSON", target.lines.err.filter((line) => !isJson(line)).length, zero],
  ];
}

function resetsOf({ reset }: Outcome, max: number | undefined): Measure {
  const name = "new connections reset as the listener closed";
  return max === undefined ? [name, reset] : [name, reset, atMost(max)];
}

/** Creates users over one connection at a time, until the service accepts none. */
async function writeOn(
  port: number,
  { index, pauseMs, outcome }: { index: number; pauseMs: number; outcome: Outcome },
): Promise<void> {
  let connection = await attack(port);
  let isNew = true;
  for (let turn = 0; !connection.isClosed; turn++) {
    const answer = await create(connection, `client${index}-${turn}@example.org`);
    if (answer === undefined) {
      if (connection.socket.bytesWritten === 0) break;
      outcome[isNew ? "reset" : "lost"]++;
    } else if (answer.startsWith("HTTP/1.1 201")) outcome.created++;
    else if (answer.startsWith("HTTP/1.1 503")) outcome.refused++;
    const closes = answer === undefined || /^connection: close\r$/im.test(answer);
    if (answer?.startsWith("HTTP/1.1 503") && !closes) outcome.keptOpen++;
    if (closes) {
      connection.socket.destroy();
      connection = await attack(port);
    }
    isNew = closes;
    await sleep(Math.random() * pauseMs);
  }
}

/** The answer; undefined if the connection has closed without one. */
async function create(connection: Attacker, email: string): Promise<string | undefined> {
  const body = JSON.stringify({ email, name: "Ann" });
  const before = connection.received.length;
  // A client that has seen the end of the connection sends nothing more into it.
  connection.socket.write(
    `POST /users HTTP/1.1\r\nHost: x\r\n${TOKEN_LINE}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const isWhole = () => /\r\n\r\n.*\}$/s.test(connection.received.slice(before));
  while (!isWhole()) {
    if (connection.isClosed) return undefined;
    await Promise.race([
      connection.closed,
      new Promise<void>((resolve) => connection.socket.once("data", () => resolve())),
    ]);
  }
  return connection.received.slice(before);
}
