/** `slow-body`: requests whose bodies never end. */
import { atLeast, atMost, type Measure, zero } from "../endurance/verdict.ts";
import { attack, attackWith, HonestClient, leave } from "./clients.ts";
import { HonestPair } from "./honest_pair.ts";
import { sleep, usageRows } from "./connections.ts";
import { startTarget } from "./target.ts";
import { TOKEN_LINE } from "../support/token.ts";

export interface SlowBodyOptions {
  readonly connections: number;
}

/** Longer than the service waits for a body. */
const GIVES_UP_MS = 14_000;

/** Each request declares 60 kB and sends a few bytes. */
export async function slowBody({ connections }: SlowBodyOptions): Promise<Measure[]> {
  await using target = await startTarget({ openFiles: 4_096 });
  await using honest = await HonestPair.start(target.url, { perSecond: 20 });
  await using writer = new HonestClient(target.url, { perSecond: 5, writes: true });
  await sleep(2_000);
  honest.begin();
  const before = await target.usage();
  const attackers = await attackWith(connections, async (index) => {
    const attacker = await attack(target.port, { address: `127.0.1.${1 + index % 8}` });
    attacker.socket.write(
      `POST /users HTTP/1.1\r\nHost: x\r\n${TOKEN_LINE}Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n` +
        '{"email":"',
    );
    return attacker;
  });
  await sleep(1_000);
  const during = await target.usage();
  await sleep(GIVES_UP_MS);
  const added = await honest.added();
  const written = writer.take();
  const refused = attackers.filter(({ received }) => received.startsWith("HTTP/1.1 503")).length;
  const late = attackers.filter(({ received }) => received.startsWith("HTTP/1.1 408")).length;
  await leave(attackers);
  await sleep(1_000);
  return [
    ["slow bodies", connections],
    ["answered with 503, as enough bodies are late", refused],
    ["answered with 408", late],
    ["slow bodies without an answer", connections - refused - late, zero],
    ["honest writes during the attack", written.count, atLeast(10)],
    [`honest writes that failed: ${written.firstFailure}`, written.failures, zero],
    ...added,
    [
      "memory of a slow body (kB)",
      (during.memoryMiB - before.memoryMiB) * 1_024 / connections,
      atMost(96),
    ],
    ...await usageRows(target, { before, during }),
  ];
}
