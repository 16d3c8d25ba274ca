/** `slow-readers`: clients that send 20 requests for pages ahead, and read the answers slowly or not at all. */
import type { Measure } from "../endurance/verdict.ts";
import { attack, attackWith, leave } from "./clients.ts";
import { HonestPair } from "./honest_pair.ts";
import { sleep, usageRows } from "./connections.ts";
import { startTarget } from "./target.ts";
import { BEARER, TOKEN_LINE } from "../support/token.ts";

export interface SlowReadersOptions {
  readonly readers: number;
  readonly pages: number;
  readonly forMs: number;
}

export async function slowReaders(
  { readers, pages, forMs }: SlowReadersOptions,
): Promise<Measure[]> {
  await using target = await startTarget({ openFiles: 4_096 });
  await addUsers(target.url, 200);
  await using honest = await HonestPair.start(target.url, { perSecond: 100 });
  await sleep(3_000);
  honest.begin();
  const before = await target.usage();
  const request = `GET /users?limit=200 HTTP/1.1\r\nHost: x\r\n${TOKEN_LINE}\r\n`;
  const attackers = await attackWith(readers, async () => {
    const attacker = await attack(target.port, { reads: false });
    attacker.socket.pause();
    attacker.socket.write(request.repeat(pages));
    return attacker;
  });
  await sleep(1_000);
  const during = await target.usage();
  await sleep(forMs);
  const added = await honest.added();
  await leave(attackers);
  await sleep(1_000);
  return [
    ["slow readers", readers],
    ["pages that each asks for at once", pages],
    ...added,
    ...await usageRows(target, { before, during }),
  ];
}

export async function addUsers(url: string, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const response = await fetch(`${url}/users`, {
      method: "POST",
      headers: { ...BEARER, "content-type": "application/json" },
      body: JSON.stringify({ email: `reader${index}@example.org`, name: "x".repeat(200) }),
    });
    await response.body?.cancel();
  }
}
