/**
 * One client of the fleet: a keep-alive connection to one process, on which it reads, creates and changes users, one
 * request after the other. Every write names its user `unit N`, by which its event is found after the run.
 */
import { HttpConnection, statusOf } from "../../bench/http/http_connection.ts";
import { completesWithin, sleep } from "../../../src/db/time/timeout.ts";
import { TOKEN_LINE } from "../../support/token.ts";
import type { Outcome, OutcomeLog } from "../outcome_log.ts";
import { pick, type Random } from "../random.ts";
import type { Tally } from "./tally.ts";

export interface ClientOptions {
  readonly port: number;
  readonly log: OutcomeLog;
  readonly tally: Tally;
  readonly random: Random;
  /** Aborts when the client is to begin no further unit. */
  readonly isOver: AbortSignal;
}

const KINDS = ["read", "read", "list", "create", "keyed create", "change", "change"] as const;

type Kind = typeof KINDS[number];

/** The timeouts of a request end it earlier. */
const HUNG_MS = 45_000;

/** A request with a key that got no final answer is sent again, at most so often. */
const REPEATS = 30;

interface Answer {
  /** 0 if there is none. */
  readonly status: number;
  readonly text: string;
  readonly hung?: true;
}

interface Request {
  readonly method: "GET" | "POST" | "PATCH";
  readonly path: string;
  readonly headers?: string;
  readonly body?: unknown;
}

export class FleetClient implements Disposable {
  readonly #options: ClientOptions;
  readonly #connection: HttpConnection;
  #user: { readonly id: string; readonly etag: string | undefined } | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#connection = new HttpConnection(options.port);
  }

  /** Does units until the signal aborts. */
  async run(): Promise<void> {
    const { isOver, random, log } = this.#options;
    while (!isOver.aborted) {
      const kind = this.#user === undefined ? "create" : pick(KINDS, random)!;
      if (kind === "read" || kind === "list") {
        await this.#read(kind);
        continue;
      }
      // What the last write of the user has made of it is not known.
      if (kind === "change" && this.#user?.etag === undefined && !await this.#read("read")) {
        continue;
      }
      const unit = log.begin();
      log.record(unit, await this.#write(kind, unit));
    }
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  /** Returns whether it was answered. */
  async #read(kind: "read" | "list"): Promise<boolean> {
    const path = kind === "list" ? "/users?limit=10" : `/users/${this.#user!.id}`;
    const answer = await this.#send(kind, { method: "GET", path });
    if (kind === "read" && answer.status === 200) this.#learn(answer);
    return answer.status === 200;
  }

  async #write(kind: Kind, unit: number): Promise<Outcome> {
    const name = `unit ${unit}`;
    if (kind === "change") {
      const headers = `If-Match: ${this.#user!.etag}\r\n`;
      const path = `/users/${this.#user!.id}`;
      const answer = await this.#send(kind, { method: "PATCH", path, headers, body: { name } });
      const outcome = outcomeOf(answer);
      if (outcome === "done" && answer.status === 200) this.#learn(answer);
      // A refusal has changed nothing.
      else if (outcome !== "failed") this.#user = { id: this.#user!.id, etag: undefined };
      return outcome;
    }
    const body = { name, email: `unit-${unit}@example.org` };
    const isKeyed = kind === "keyed create";
    const headers = isKeyed ? `Idempotency-Key: "unit-${unit}"\r\n` : "";
    const send = () => this.#send(kind, { method: "POST", path: "/users", headers, body });
    let answer = await send();
    for (let repeat = 0; isKeyed && !isFinal(answer) && repeat < REPEATS; repeat++) {
      this.#options.tally.repeated++;
      answer = await send();
    }
    if (answer.status === 201) this.#learn(answer);
    if (!isKeyed || isFinal(answer)) return outcomeOf(answer);
    this.#options.tally.unsettled++;
    return "unknown";
  }

  /** Sends a request, and waits after a refusal for as long as it says. */
  async #send(kind: Kind, { method, path, headers = "", body }: Request): Promise<Answer> {
    const text = body === undefined ? "" : JSON.stringify(body);
    const content = body === undefined
      ? ""
      : `Content-Type: application/json\r\nContent-Length: ${text.length}\r\n`;
    const request = `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${TOKEN_LINE}${headers}` +
      `${content}\r\n${text}`;
    const { tally, random } = this.#options;
    const sinceMs = performance.now();
    const answer = await this.#exchange(request);
    const retryAfter = headerOf(answer, "Retry-After");
    const tookMs = performance.now() - sinceMs;
    tally.add({ kind, ...answer, retryAfter, problem: problemOf(answer), tookMs });
    if (retryAfter !== undefined) await sleep(Number(retryAfter) * 1_000 * (0.5 + random()));
    else if (answer.status === 0) await sleep(500);
    return answer;
  }

  async #exchange(request: string): Promise<Answer> {
    try {
      const exchange = this.#connection.exchange(request);
      if (!await completesWithin(exchange, HUNG_MS)) {
        // Its end rejects the exchange.
        exchange.catch(() => {});
        this.#connection[Symbol.dispose]();
        return { status: 0, text: "no answer in time", hung: true };
      }
      const text = await exchange;
      return { status: statusOf(text), text };
    } catch (error) {
      return { status: 0, text: String(error) };
    }
  }

  #learn(answer: Answer): void {
    const { id } = JSON.parse(answer.text.slice(answer.text.indexOf("\r\n\r\n"))) as { id: string };
    this.#user = { id, etag: headerOf(answer, "ETag") };
  }
}

/** Whether the outcome of a request with a key is known: it is the answer to the key. */
function isFinal({ status }: Answer): boolean {
  return status >= 200 && status < 500 && status !== 409;
}

function outcomeOf(answer: Answer): Outcome {
  const { status, hung } = answer;
  if (status === 0) return hung ? "hung" : "unanswered";
  if (status < 300) return "done";
  const problem = problemOf(answer);
  if (problem === "rows-lost") return "done";
  // A request that ran out of time may have been in its COMMIT.
  return problem === "outcome-unknown" ? "unknown" : "failed";
}

function headerOf({ text }: Answer, name: string): string | undefined {
  const head = text.slice(0, text.indexOf("\r\n\r\n") + 2);
  return new RegExp(`\r\n${name}: *(.*)\r\n`, "i").exec(head)?.[1];
}

/** The kind of a problem document, as `overloaded`. */
function problemOf({ text }: Answer): string | undefined {
  return /"type":"[^"]*\/problems\/([a-z-]+)"/.exec(text)?.[1];
}
