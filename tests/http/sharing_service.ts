/** A service whose creates and reads share transactions, for their tests. */
import { assertEquals } from "@std/assert";
import { type Database, sql } from "../../src/db/mod.ts";
import { atTurnEnd } from "../../src/deno/loop_turns.ts";
import type { SharingOptions } from "../../src/http/shared_units.ts";
import { SharedUsers } from "../../src/http/shared_users.ts";
import { BackendKiller } from "../endurance/backend_killer.ts";
import { seededRandom } from "../endurance/random.ts";
import type { FaultBranch } from "../support/fault_branch.ts";
import { jsonRequest, type SendRequest, uniqueEmail, type UserDocument } from "./requests.ts";
import { testApp } from "./test_app.ts";

export interface Service {
  readonly request: SendRequest;
  /** Ends the turn as soon as so many requests have come that may share a transaction. */
  readonly endTurn: (count: number) => Promise<void>;
  /** Calls of `onUserChange`. */
  readonly changes: () => number;
}

/** A service whose turn of the event loop lasts until the test ends it. */
export function serviceOn(db: Database, options: Partial<SharingOptions> = {}): Service {
  let [count, changes] = [0, 0];
  let awaited: { count: number; resolve: () => void } | undefined;
  let atEnd: (() => void)[] = [];
  const isTraced = () => {
    if (++count === awaited?.count) awaited.resolve();
    return options.isTraced?.() ?? false;
  };
  const { request } = testApp({
    db,
    shared: new SharedUsers({
      atTurnEnd: (callback) => void atEnd.push(callback),
      statementTimeoutMs: 15_000,
      ...options,
      isTraced,
    }),
    onUserChange: () => void changes++,
  });
  return {
    request,
    async endTurn(wanted) {
      if (count < wanted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        awaited = { count: wanted, resolve };
        await promise;
      }
      assertEquals(count, wanted);
      count = 0;
      const ended = atEnd;
      atEnd = [];
      for (const callback of ended) callback();
    },
    changes: () => changes,
  };
}

/** A turn ends as the event loop's own does. */
export const OWN_TURNS: Partial<SharingOptions> = { atTurnEnd };

export function create(
  request: SendRequest,
  { email = uniqueEmail(), name = "Ada", headers = {} }: {
    readonly email?: string;
    readonly name?: string;
    readonly headers?: HeadersInit;
  } = {},
): Promise<Response> {
  return request("/users", jsonRequest("POST", { email, name }, headers));
}

export async function createdOf(response: Response): Promise<UserDocument> {
  const text = await response.text();
  assertEquals(response.status, 201, text);
  return JSON.parse(text);
}

export function usersOf(answers: readonly Promise<Response>[]): Promise<UserDocument[]> {
  return Promise.all(answers.map(async (answer) => await createdOf(await answer)));
}

/** Ends one backend in five answers. */
export function killBackends(
  branch: FaultBranch,
  { answered }: { answered: () => number },
): Promise<BackendKiller> {
  return BackendKiller.start({
    adminEnv: branch.envOf("postgres"),
    everyMs: 15,
    mayKill: (kills) => kills * 5 <= answered(),
    random: seededRandom(7),
  });
}

/** A pool whose only connection is in use until the session ends. */
export async function exhaustedPool(branch: FaultBranch) {
  const db = branch.open({
    DATABASE_POOL_SIZE: "1",
    DATABASE_MAX_OVERFLOW: "0",
    DATABASE_POOL_TIMEOUT: "0.2",
    DATABASE_POOL_SHED_TARGET: "0",
  });
  const holder = db.session();
  await holder.query(sql`select`);
  return { db, holder };
}
