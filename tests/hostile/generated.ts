/** `generated`: requests that a seed makes, over all routes, on each host. What they are answered, and what they leave. */
import { atLeast, atMost, type Expectation, type Measure, zero } from "../endurance/verdict.ts";
import { type SeenAnswer, violationsOfAnswers } from "../support/openapi.ts";
import { GENERATED_HOSTS, type GeneratedHost, type HostUsage } from "./generated_hosts.ts";
import { CURSOR, type GeneratedRequest, generatedRequests, KNOWN } from "./generated_requests.ts";
import { leaksIn } from "./leaks.ts";

export interface GeneratedOptions {
  readonly requests: number;
  readonly seed: number;
  /** Requests at once. */
  readonly atOnce?: number;
}

/** Requests whose answers are compared with the document at once. */
const BATCH = 2_000;

/** In the last part of a run, the backends are terminated this often. */
const REQUESTS_PER_FAULT = 10;

export async function generated(
  host: GeneratedHost,
  { requests: count, seed, atOnce = 8 }: GeneratedOptions,
): Promise<Measure[]> {
  const requests = generatedRequests({ count, seed });
  const faultsFrom = Math.floor(count * 0.95);
  const run = new Run(host);
  const before = await host.rest();
  let warm: HostUsage | undefined;
  for (let from = 0; from < count; from += BATCH) {
    await run.send(requests.slice(from, Math.min(from + BATCH, faultsFrom)), atOnce);
    // Until some 10,000 requests, the heap of a process on Deno grows to the size that it keeps.
    if (from + BATCH >= count / 2) warm ??= await host.usage();
  }
  const calm = run.take();
  const calmLog = host.log();
  await run.send(requests.slice(faultsFrom), atOnce, REQUESTS_PER_FAULT);
  const faulty = run.take();
  const after = await host.rest();
  // While backends are terminated, the log has errors, with their stacks.
  const inLog = [
    ...leaksIn(calmLog, host.places),
    ...host.secrets.filter((secret) => host.log().includes(secret)),
  ];
  return [
    ["host", host.name],
    ["seed", seed],
    ["requests", calm.sent + faulty.sent, atLeast(count)],
    ["answers by status", statusesOf(calm.statuses)],
    ["answers with 5xx", calm.failures.length, zero],
    ["first of them", calm.failures[0] ?? "none"],
    ["answers by status, while backends are terminated", statusesOf(faulty.statuses)],
    ["of them 500 internal", faulty.failures.filter(isInternal).length, zero],
    ["answers outside the document", calm.outside.length + faulty.outside.length, zero],
    ["first of them", calm.outside[0] ?? faulty.outside[0] ?? "none"],
    ["answers that tell of the inside", calm.leaks.length + faulty.leaks.length, zero],
    ["first of them", calm.leaks[0] ?? faulty.leaks[0] ?? "none"],
    ["leaks in the log", inLog.length, zero],
    ["first of them", inLog[0] ?? "none"],
    ["uncaught errors", host.uncaught().length, zero],
    ["connections to the database before", before.connections],
    ["connections to the database after", after.connections, equalTo(before.connections)],
    ["memory in the middle of the run, MiB", warm!.memoryMiB],
    ["memory after it, MiB", after.memoryMiB, atMost(warm!.memoryMiB * 1.25 + host.memoryNoiseMiB)],
    ...(after.descriptors === undefined
      ? []
      : [["descriptors after it", after.descriptors, atMost(before.descriptors! + 2)] as const]),
  ];
}

/** At full length, on each host, with a new seed. */
export async function generatedOnAll(): Promise<Measure[]> {
  const seed = Number(Deno.env.get("SEED") ?? crypto.getRandomValues(new Uint16Array(1))[0]);
  const report: Measure[] = [];
  for (const start of Object.values(GENERATED_HOSTS)) {
    await using host = await start();
    report.push(...await generated(host, { requests: 20_000, seed }));
  }
  return report;
}

function equalTo(wanted: number): Expectation {
  return { text: String(wanted), holds: (value) => value === wanted };
}

function isInternal(failure: string): boolean {
  return failure.includes("/problems/internal");
}

interface Taken {
  readonly sent: number;
  readonly statuses: ReadonlyMap<number, number>;
  readonly failures: readonly string[];
  readonly outside: readonly string[];
  readonly leaks: readonly string[];
}

/** Sends the requests, and judges each answer. */
class Run {
  readonly #host: GeneratedHost;
  readonly #known: string[] = [];
  #cursor = CURSOR;
  #sent = 0;
  #statuses = new Map<number, number>();
  #failures: string[] = [];
  #outside: string[] = [];
  #leaks: string[] = [];

  constructor(host: GeneratedHost) {
    this.#host = host;
  }

  async send(
    requests: readonly GeneratedRequest[],
    atOnce: number,
    requestsPerFault = Infinity,
  ): Promise<void> {
    const answers: SeenAnswer[] = [];
    const rest = requests.values();
    let count = 0;
    const client = async () => {
      for (const request of rest) {
        if (++count % requestsPerFault === 0) await this.#host.terminateBackends();
        answers.push(await this.#ask(request));
      }
    };
    await Promise.all(Array.from({ length: atOnce }, client));
    // The routes of operators are no part of the API.
    const documented = answers.filter(({ path }) => !/^\/+(?:ops|metrics)/.test(path));
    this.#outside.push(...await violationsOfAnswers(documented));
  }

  take(): Taken {
    const taken = {
      sent: this.#sent,
      statuses: this.#statuses,
      failures: this.#failures,
      outside: this.#outside,
      leaks: this.#leaks,
    };
    this.#sent = 0;
    this.#statuses = new Map();
    [this.#failures, this.#outside, this.#leaks] = [[], [], []];
    return taken;
  }

  async #ask({ method, path, headers, body }: GeneratedRequest): Promise<SeenAnswer> {
    const known = this.#known[this.#sent % Math.max(1, this.#known.length)] ?? KNOWN;
    const target = path.replaceAll(KNOWN, known).replaceAll(CURSOR, this.#cursor);
    const response = await this.#host.request(target, {
      method,
      headers,
      redirect: "manual",
      ...(body === undefined ? {} : { body }),
    });
    const answer: SeenAnswer = {
      method: method.toUpperCase(),
      path: new URL(response.url).pathname,
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: await response.text(),
    };
    this.#judge(answer);
    return answer;
  }

  #judge(answer: SeenAnswer): void {
    const { method, path, status, body, headers } = answer;
    this.#sent++;
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1);
    const what = `${method} ${path} ${status} ${body.slice(0, 300)}`;
    if (status >= 500) this.#failures.push(what);
    const [, next] = path === "/users" && /"next":"([^"]+)"/.exec(body) || [];
    if (next !== undefined) this.#cursor = encodeURIComponent(next);
    if (path === "/users" && status === 201) this.#known.push(JSON.parse(body).id);
    // The documentation is the same for every client; the routes of operators are there to tell of the inside.
    if (/^\/(?:docs|openapi\.json|problems|ops|metrics)/.test(path) && status === 200) return;
    const { secrets, places } = this.#host;
    const texts = [body, ...Object.values(headers)];
    this.#leaks.push(
      ...texts.flatMap((text) => leaksIn(text, [...secrets, ...places]))
        .map((leak) => `${leak} in ${what}`),
    );
  }
}

function statusesOf(statuses: ReadonlyMap<number, number>): string {
  return [...statuses].sort(([a], [b]) => a - b)
    .map(([status, count]) => `${status}: ${count}`).join(", ");
}
