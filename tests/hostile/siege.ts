/** `siege`: all attacks on connections at once, for as long as wanted, beside 100 honest requests a second. */
import { atLeast, atMost, type Measure, zero } from "../endurance/verdict.ts";
import { hostCases, statusOfRaw } from "../http/host_cases.ts";
import { attack, type Attacker, leave } from "./clients.ts";
import { HonestPair } from "./honest_pair.ts";
import { sleep, usageRows } from "./connections.ts";
import { addUsers } from "./slow_readers.ts";
import { startTarget } from "./target.ts";
import { TOKEN_LINE } from "../support/token.ts";

export interface SiegeOptions {
  readonly forMs: number;
}

/** Connections that each kind keeps open, as far as the service lets it. */
const IDLE = 500;
const TRICKLING = 300;
const SLOW_BODIES = 100;
const SLOW_READERS = 20;

const POST = `POST /users HTTP/1.1\r\nHost: x\r\n${TOKEN_LINE}Content-Type: application/json\r\n`;

export async function siege({ forMs }: SiegeOptions): Promise<Measure[]> {
  await using target = await startTarget({ openFiles: 1_024 });
  await addUsers(target.url, 50);
  await using honest = await HonestPair.start(target.url, { perSecond: 100 });
  await sleep(5_000);
  honest.begin();
  const before = await target.usage();
  const endsAtMs = performance.now() + forMs;
  const isOver = () => performance.now() >= endsAtMs;
  let opened = 0;
  let wrongHosts = 0;

  /** Opens the connection again whenever the service, or its own time, has closed it. */
  const keep = async (count: number, begin: (attacker: Attacker) => void, forMs = Infinity) => {
    await Promise.all(Array.from({ length: count }, async (_, index) => {
      await sleep(Math.random() * 5_000);
      while (!isOver()) {
        const attacker = await attack(target.port, { address: `127.0.1.${1 + index % 20}` });
        opened++;
        if (!attacker.isClosed) begin(attacker);
        const leftMs = Math.min(forMs, endsAtMs - performance.now());
        const pause = new AbortController();
        await Promise.race([attacker.closed, sleep(Math.max(0, leftMs), pause.signal)]);
        pause.abort();
        await leave([attacker]);
        // As a real attacker would have to, over a network.
        await sleep(100);
      }
    }));
  };
  const trickle = ({ socket, closed }: Attacker) => {
    socket.write(`GET /users HTTP/1.1\r\nHost: x\r\n${TOKEN_LINE}X-Slow: `);
    const timer = setInterval(() => socket.writable && socket.write("x"), 1_000);
    void closed.then(() => clearInterval(timer));
  };
  const pipeline = ({ socket }: Attacker) => {
    socket.pause();
    socket.write(`GET /users?limit=50 HTTP/1.1\r\nHost: x\r\n${TOKEN_LINE}\r\n`.repeat(20));
  };
  const hosts = async () => {
    while (!isOver()) {
      for (const { head } of hostCases) {
        // The service may close the connection instead of an answer.
        const status = await statusOfRaw(target.port, head).catch(() => 0);
        if (status !== 400 && status !== 0) wrongHosts++;
      }
      await sleep(1_000);
    }
  };
  const attacking = [
    keep(IDLE, () => {}),
    keep(TRICKLING, trickle),
    keep(SLOW_BODIES, ({ socket }) => socket.write(`${POST}Content-Length: 60000\r\n\r\n{`)),
    keep(SLOW_READERS, pipeline, 5_000),
    hosts(),
  ];
  await sleep(Math.min(10_000, forMs / 2));
  const during = await target.usage();
  await Promise.all(attacking);
  const added = await honest.added({ least: forMs / 20 });
  await sleep(2_000);
  return [
    ["minutes", forMs / 60_000],
    ["connections that attackers opened", opened, atLeast(1_000)],
    ...added,
    ["Host headers that were not refused", wrongHosts, zero],
    ...(await usageRows(target, { before, during })).map(([name, value, expected]) =>
      name === "lines on standard error"
        // Five of each kind at once, and a summary every 10 s.
        ? [name, value, atMost(40 + 8 * forMs / 10_000)] as Measure
        : [name, value, expected] as Measure
    ),
  ];
}
