/** Requests that a real service finds at one moment share transactions, with either HTTP server. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { start } from "../../src/deno/service.ts";
import { localDatabase } from "../support/local_database.ts";
import { BEARER, TOKEN_LINE } from "../support/token.ts";
import { sentTogether } from "./sent_together.ts";

const database = await localDatabase();

const AT_ONCE = 16;

const HEAD = `HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${TOKEN_LINE}`;

function createOf(email: string): string {
  const body = JSON.stringify({ email, name: "Ann" });
  return `POST /users ${HEAD}Content-Type: application/json\r\n` +
    `Content-Length: ${body.length}\r\n\r\n${body}`;
}

for (const server of ["guarded", "plain"]) {
  Deno.test(`creates, and reads, that come at one moment share transactions: HTTP_SERVER=${server}`, async () => {
    await using branch = await database.connect();
    const quiet = { PORT: "0", LOG_LEVEL: "error", QUEUE_CONCURRENCY: "0" };
    const env = { ...branch.env, ...quiet, HTTP_SERVER: server };
    const service = await start(env, { hostname: "127.0.0.1" });
    const port = Number(new URL(service.url).port);
    const send = async (requests: readonly string[]) => {
      using clients = sentTogether(port, requests);
      return await clients.answers;
    };
    const leases = async () => {
      const response = await fetch(`${service.url}/metrics`, { headers: BEARER });
      return Number(/^\S+_acquired_total (\d+)$/m.exec(await response.text())![1]);
    };
    // Those of a moment in which the server was held up run alone for some time.
    const untilShared = async (areShared: () => Promise<boolean>) =>
      assert(await pollUntil(areShared, { deadlineMs: 30_000, intervalMs: 100 }));
    try {
      let round = 0;
      await untilShared(async () => {
        const prefix = `${server}-${++round}`;
        const emails = Array.from({ length: AT_ONCE }, (_, k) => `${prefix}-${k}@example.org`);
        for (const answer of await send(emails.map(createOf))) {
          assertMatch(answer, /^HTTP\/1\.1 201 /);
        }
        const stored = await branch.asAdmin<{ email: string; xmin: string }>(
          `select email, xmin::text from users where email like '${prefix}-%'`,
        );
        assertEquals(stored.map(({ email }) => email).sort(), emails.sort());
        return new Set(stored.map(({ xmin }) => xmin)).size < AT_ONCE;
      });
      const users = await branch.asAdmin<{ id: string; email: string }>(
        `select id, email from users where email like '${server}-%' limit ${AT_ONCE}`,
      );
      await untilShared(async () => {
        const before = await leases();
        const answers = await send(users.map(({ id }) => `GET /users/${id} ${HEAD}\r\n`));
        for (const [k, answer] of answers.entries()) {
          assertMatch(answer, /^HTTP\/1\.1 200 /);
          assertEquals(answer.includes(`"email":"${users[k]!.email}"`), true);
        }
        return await leases() - before < AT_ONCE;
      });
    } finally {
      await service.shutdown();
    }
  });
}
