/** `emfile` and `slowloris`: connections that send nothing, or the bytes of their headers one by one. */
import { atLeast, atMost, type Measure, zero } from "../endurance/verdict.ts";
import { attack, type Attacker, attackWith, leave } from "./clients.ts";
import { HonestPair } from "./honest_pair.ts";
import { startTarget, type Target, type Usage } from "./target.ts";
import { TOKEN_LINE } from "../support/token.ts";

/** The service may have opened all connections of its pool for the attack, and keeps them for a while. */
const POOL_MAX = 50;

export interface ConnectionsOptions {
  /** `ulimit -n` of the service. */
  readonly openFiles: number;
  readonly connections: number;
  /** How long the attack lasts. */
  readonly forMs: number;
}

/** Idle connections, more than the process may open files. */
export function emfile(options: ConnectionsOptions): Promise<Measure[]> {
  return underAttack(options, () => {});
}

/** As many connections that send a byte of their headers each second. */
export function slowloris(options: ConnectionsOptions): Promise<Measure[]> {
  return underAttack(options, ({ socket, isClosed }) => {
    if (!isClosed && socket.writable) socket.write("x");
  }, `GET /users HTTP/1.1\r\nHost: x\r\n${TOKEN_LINE}X-Slow: `);
}

async function underAttack(
  { openFiles, connections, forMs }: ConnectionsOptions,
  eachSecond: (attacker: Attacker) => void,
  first = "",
): Promise<Measure[]> {
  await using target = await startTarget({ openFiles });
  await using honest = await HonestPair.start(target.url, { perSecond: 20 });
  await sleep(2_000);
  honest.begin();
  const before = await target.usage();
  const attackers = await attackWith(connections, async (index) => {
    const attacker = await attack(target.port, { address: `127.0.1.${1 + index % 8}` });
    if (first !== "") attacker.socket.write(first);
    return attacker;
  });
  const during = await target.usage();
  for (let elapsedMs = 0; elapsedMs < forMs; elapsedMs += 1_000) {
    await sleep(1_000);
    attackers.forEach(eachSecond);
  }
  const open = attackers.filter(({ isClosed }) => !isClosed).length;
  const added = await honest.added();
  await leave(attackers);
  await sleep(1_000);
  return [
    ["connections of attackers", attackers.length],
    ["still open after the attack", open, zero],
    ...added,
    ...await usageRows(target, { before, during }),
  ];
}

/** Memory and descriptors before, during and after an attack, and what the service has logged of it. */
export async function usageRows(
  target: Target,
  { before, during }: { before: Usage; during: Usage },
): Promise<Measure[]> {
  const after = await target.usage();
  const logged = target.lines.err;
  return [
    ["processes that run on", after.memoryMiB > 0 ? 1 : 0, atLeast(1)],
    ["memory before (MiB)", before.memoryMiB],
    ["memory during (MiB)", during.memoryMiB],
    ["memory after (MiB)", after.memoryMiB],
    ["descriptors before", before.descriptors],
    ["descriptors during", during.descriptors],
    ["descriptors after", after.descriptors, atMost(before.descriptors + 4 + POOL_MAX)],
    ["lines on standard error", logged.length, atMost(20)],
    ["lines that are not JSON", logged.filter((line) => !isJson(line)).length, zero],
  ];
}

export function isJson(line: string): boolean {
  try {
    return typeof JSON.parse(line) === "object";
  } catch {
    return false;
  }
}

export function sleep(timeMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeMs);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
