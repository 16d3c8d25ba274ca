/** `Request-Timeout` while the database does not answer. The same cases run on every host. */

import { assert, assertEquals } from "@std/assert";
import { trustedSql } from "../../src/db/mod.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import type { LocalBranch, LocalDatabase } from "../support/local_database.ts";
import {
  assertProblem,
  createUser,
  jsonRequest,
  type SendRequest,
  uniqueEmail,
} from "./requests.ts";

/** All limits of the service under test are longer than the test, so that only the request's own can end it. */
export const LONG_TIMEOUTS = {
  DATABASE_IDLE_TRANSACTION_TIMEOUT: "600",
  DATABASE_LOCK_TIMEOUT: "600",
  DATABASE_STATEMENT_TIMEOUT: "600",
  DATABASE_TRANSACTION_TIMEOUT: "600",
};

const HEADERS = { "Request-Timeout": "0.3" };

export interface TimeoutCase {
  readonly name: string;
  /** `database` is that of the service which `request` reaches. */
  run(request: SendRequest, database: LocalDatabase): Promise<void>;
}

/** Holds a lock on all users for the time of `work`, with which every statement on them waits. */
async function whileUsersAreLocked(branch: LocalBranch, work: () => Promise<void>): Promise<void> {
  const env = { ...branch.envOf("postgres"), ...LONG_TIMEOUTS };
  await using session = branch.open(env).session();
  await session.query(trustedSql("lock table users in access exclusive mode"));
  await work();
}

/** Resolves when no backend waits for the lock: the server has stopped the statement of the request. */
async function untilNothingWaits(branch: LocalBranch): Promise<void> {
  const isIdle = async () => {
    const waiting = await branch.asAdmin(
      "select 1 from pg_locks where not granted and relation = 'users'::regclass",
    );
    return waiting.length === 0;
  };
  assert(await pollUntil(isIdle, { deadlineMs: 10_000, intervalMs: 20 }));
}

export const timeoutCases: readonly TimeoutCase[] = [
  {
    name: "a read that is not done within Request-Timeout answers 504, and stops in the database",
    async run(request, database) {
      await using branch = await database.connect();
      const { id } = await createUser(request);
      await whileUsersAreLocked(branch, async () => {
        const response = await request(`/users/${id}`, { headers: HEADERS });
        await assertProblem(response, 504, "deadline-exceeded");
        await untilNothingWaits(branch);
      });
      const read = await request(`/users/${id}`, { headers: HEADERS });
      assertEquals([read.status, (await read.json()).id], [200, id]);
    },
  },
  {
    name: "a write that is not done within Request-Timeout answers 504, and changes nothing",
    async run(request, database) {
      await using branch = await database.connect();
      const { id } = await createUser(request);
      const email = uniqueEmail();
      await whileUsersAreLocked(branch, async () => {
        const responses = await Promise.all([
          request("/users", jsonRequest("POST", { email, name: "Ada" }, HEADERS)),
          request(`/users/${id}`, jsonRequest("PATCH", { name: "Eve" }, HEADERS)),
          request(`/users/${id}`, { method: "DELETE", headers: HEADERS }),
        ]);
        for (const each of responses) await assertProblem(each, 504, "deadline-exceeded");
        await untilNothingWaits(branch);
      });
      const read = await request(`/users/${id}`);
      assertEquals((await read.json()).version, 1);
      assertEquals(await branch.asAdmin(`select 1 from users where email = '${email}'`), []);
    },
  },
  {
    name: "a body that is not sent within Request-Timeout answers 408",
    async run(request) {
      const { readable: body, writable } = new TransformStream<Uint8Array>();
      const writer = writable.getWriter();
      void writer.write(new TextEncoder().encode('{"email":'));
      const init = { ...jsonRequest("POST", {}, HEADERS), body, duplex: "half" } as RequestInit;
      const { detail } = await assertProblem(
        await request("/users", init),
        408,
        "body-too-slow",
      );
      assert(/\b(?:[12]\d\d|300) ms\b/.test(detail), detail);
      await writer.abort().catch(() => {});
    },
  },
];
