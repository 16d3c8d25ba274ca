/** `log-flood`: requests to a service whose database is gone, and clients that break off, as fast as they can. */
import { atLeast, atMost, type Measure, zero } from "../endurance/verdict.ts";
import { attack, leave } from "./clients.ts";
import { isJson, sleep } from "./connections.ts";
import { startTarget } from "./target.ts";
import { BEARER, TOKEN_LINE } from "../support/token.ts";

export interface LogFloodOptions {
  readonly clients: number;
  readonly forMs: number;
}

export async function logFlood({ clients, forMs }: LogFloodOptions): Promise<Measure[]> {
  // Nothing listens on port 1.
  const env = { DATABASE_WS_PROXY: "ws://127.0.0.1:1/", OPS_TOKEN: "a-token-of-24-characters" };
  await using target = await startTarget({ env });
  const endsAtMs = performance.now() + forMs;
  let refused = 0;
  const running = Array.from({ length: clients }, async (_, index) => {
    while (performance.now() < endsAtMs) {
      const path = index % 2 === 0 ? "/users" : `/users/${crypto.randomUUID()}`;
      const response = await fetch(`${target.url}${path}`, { headers: BEARER });
      await response.body?.cancel();
      if (response.status === 503) refused++;
    }
  });
  // Requests that make Deno's own server print notices: bodies that are limited, and clients that leave.
  const form = { method: "POST", body: new URLSearchParams({ token: "x".repeat(9_000) }) };
  for (let turn = 0; turn < 20; turn++) {
    await (await fetch(`${target.url}/ops/sign-in`, form)).body?.cancel();
    const stream = new Blob(["token=x"]).stream();
    const chunked = { ...form, body: stream, headers: { "content-type": FORM } };
    await (await fetch(`${target.url}/ops/sign-in`, chunked)).body?.cancel();
    const leaving = await attack(target.port);
    leaving.socket.write(
      `POST /users HTTP/1.1\r\nHost: x\r\n${TOKEN_LINE}Content-Length: 9\r\n\r\n{`,
    );
    await leave([leaving]);
  }
  await Promise.all(running);
  target.signal("SIGTERM");
  await target.ended;
  await sleep(100);
  const { err } = target.lines;
  const counted = err.filter(isJson).reduce(
    (sum, line) => {
      const { event, repeated = 1 } = JSON.parse(line);
      return event === "request refused" ? sum + repeated : sum;
    },
    0,
  );
  return [
    ["requests refused with 503", refused, atLeast(500)],
    ["lines on standard error", err.length, atMost(60)],
    ["refusals that the log knows of, less those that clients saw", counted - refused, zero],
    ["lines that are not JSON", err.filter((line) => !isJson(line)).length, zero],
    ["first line that is not JSON", err.find((line) => !isJson(line)) ?? "none"],
  ];
}

const FORM = "application/x-www-form-urlencoded";
