/** Units of work with a key on a real server: at most one run commits, whatever is lost. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  CommitOutcomeUnknownError,
  type Database,
  deleteOldKeys,
  insertKeys,
  type KeyedTransactionOptions,
  ServerError,
  type Session,
  SessionNotCommittedError,
  sql,
} from "../../../src/db/mod.ts";
import { type FaultBranch, faultBranch } from "../../support/fault_branch.ts";
import { rowsInTheEnd, rowsOf } from "../../support/fault_fixture.ts";
import {
  BEGIN,
  COMMIT,
  COMMIT_EXECUTE,
  dropAfter,
  dropBefore,
  hold,
  refuse,
} from "../../support/fault_relay.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

interface Unit {
  readonly runs: number;
  do(options?: Partial<KeyedTransactionOptions<string>>): Promise<string>;
}

/** A unit that inserts one row and commits it in one flight, so that its xid is not known. */
function unitOf(db: Database, name: string): Unit {
  let runs = 0;
  return {
    get runs() {
      return runs;
    },
    do: (options = {}) =>
      db.transaction(async (session: Session) => {
        runs++;
        await session.commit([sql`insert into users (id, email, name)
          values (gen_random_uuid(), gen_random_uuid()::text, ${name})`]);
        return "done";
      }, { key: name, loadResult, ...options }),
  };
}

async function loadResult(session: Session): Promise<string> {
  const [[row] = []] = await session.commit([sql<{ text: string }>`select 'loaded' as text`]);
  return row!.text;
}

async function opened(branch: FaultBranch): Promise<Database> {
  const db = branch.open({ DATABASE_IDLE_TRANSACTION_TIMEOUT: "0.5", DATABASE_LOCK_TIMEOUT: "2" });
  await db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true });
  return db;
}

for (
  const [what, point, fault, expected, runs] of [
    ["was run and its answer lost", COMMIT_EXECUTE, dropAfter, "loaded", 2],
    ["was lost before the server", COMMIT, dropBefore, "done", 2],
  ] as const
) {
  Deno.test(`a keyed unit whose only flight ${what} takes effect once`, async () => {
    await using branch = await faultBranch(database);
    const db = await opened(branch);
    const unit = unitOf(db, what);
    const armed = branch.relay.when(point, fault());
    assertEquals(await unit.do(), expected);
    assertEquals([armed.strikes, unit.runs], [1, runs]);
    assertEquals(await rowsInTheEnd(branch, { name: what, expected: 1 }), 1);
  });
}

Deno.test("a keyed unit that reaches the server after another with its key has committed loads the result", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "overtaken";
  const held = branch.relay.when(BEGIN, hold());
  const first = unitOf(db, name).do();
  await held.struck();
  assertEquals(await unitOf(db, name).do(), "done");
  held.release();
  assertEquals(await first, "loaded");
  assertEquals(await rowsOf(branch, name), 1);
});

Deno.test("a keyed unit of unknown outcome stays unknown if its second run fails", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "unknown outcome";
  branch.relay.when(COMMIT_EXECUTE, dropAfter());
  branch.relay.when({ at: "dial", times: Infinity }, refuse(503));
  const { attempts } = await assertRejects(
    () => unitOf(db, name).do(),
    CommitOutcomeUnknownError,
  );
  assertEquals((attempts ?? 1) > 1, true);
  assertEquals(await rowsInTheEnd(branch, { name, expected: 1 }), 1);
});

Deno.test("a second unit with a committed key loads the result, and does not commit", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "asked twice";
  assertEquals(await unitOf(db, name).do(), "done");
  assertEquals(await unitOf(db, name).do(), "loaded");
  assertEquals(await rowsOf(branch, name), 1);
});

Deno.test("of many concurrent units with one key, one does the work", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "at once";
  const results = await Promise.all(Array.from({ length: 8 }, () => unitOf(db, name).do()));
  assertEquals(results.sort(), ["done", ...Array(7).fill("loaded")]);
  assertEquals(await rowsOf(branch, name), 1);
});

Deno.test("a unit's key may be in a table of its caller's own, by whose constraint it is known", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  await branch.asAdmin("create table own_keys (id int constraint own_key primary key, note text)");
  await branch.asAdmin("grant select, insert on own_keys to user_service");
  const keyOf = (note: string) => ({
    insert: sql`insert into own_keys (id, note) values (7, ${note})`,
    constraint: "own_key",
  });
  const loadNote = async (session: Session) => {
    const [[row]] = await session.commit([sql<{ note: string }>`select note from own_keys`]);
    return row!.note;
  };
  const unit = unitOf(db, "own key");
  assertEquals(await unit.do({ key: keyOf("first") }), "done");
  assertEquals(await unit.do({ key: keyOf("second"), loadResult: loadNote }), "first");
  assertEquals(await rowsOf(branch, "own key"), 1);
  // A violation of another constraint is the unit's own failure.
  const misnamed = { ...keyOf("third"), constraint: "transaction_keys_pkey" };
  await assertRejects(() => unit.do({ key: misnamed }), ServerError, "own_key");
});

Deno.test("a keyed unit that fails leaves its key free", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const failing = () =>
    db.transaction(async (session) => {
      await session.query(sql`select 1 / 0`);
      return "done";
    }, { key: "free", loadResult });
  await assertRejects(failing, Error, "division by zero");
  assertEquals(await unitOf(db, "free").do(), "done");
});

Deno.test("a keyed unit that does not commit is a SessionNotCommittedError", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const forgetful = async (session: Session) => {
    await session.query(sql`select 1`);
    return "done";
  };
  await assertRejects(
    () => db.transaction(forgetful, { key: "unsaid", loadResult }),
    SessionNotCommittedError,
  );
});

Deno.test("a keyed unit that only commits inserts its key", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const nothing = async (session: Session) => {
    await session.commit();
    return "done";
  };
  const results = [];
  for (let turn = 0; turn < 2; turn++) {
    results.push(await db.transaction(nothing, { key: "bare", loadResult }));
  }
  assertEquals(results, ["done", "loaded"]);
});

Deno.test("a violation of another unique constraint is not taken for the key's", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const insert = (key: string) =>
    db.transaction(async (session) => {
      await session.commit([sql`insert into users (id, email, name)
        values (gen_random_uuid(), 'taken@example.org', 'Ann')`]);
      return "done";
    }, { key, loadResult });
  assertEquals(await insert("first"), "done");
  await assertRejects(() => insert("second"), Error, "users_email_key");
});

Deno.test("keys have from 1 to 255 characters", async () => {
  await using branch = await faultBranch(database);
  const db = branch.open();
  for (const key of ["", "x".repeat(256)]) {
    await assertRejects(
      () => unitOf(db, "limits").do({ key }),
      RangeError,
      `current length is ${key.length}`,
    );
  }
  assertEquals(await unitOf(db, "x".repeat(255)).do(), "done");
});

Deno.test("deleteOldKeys deletes keys older than olderThanMs", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const unit = unitOf(db, "forgotten");
  await unit.do();
  await db.transaction((session) => session.commit([deleteOldKeys({ olderThanMs: 3_600_000 })]));
  assertEquals(await unit.do(), "loaded");
  await db.transaction((session) => session.commit([deleteOldKeys({ olderThanMs: 0 })]));
  assertEquals(await unit.do(), "done");
});

Deno.test("deleteOldKeys deletes the oldest keys first, at most limit of them", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  await db.transaction((session) => session.commit([deleteOldKeys({ olderThanMs: 0 })]));
  for (const name of ["oldest", "older", "old"]) await unitOf(db, name).do();
  const deleteKeys = async (limit: number) => {
    const [rows] = await db.transaction((session) =>
      session.commit([deleteOldKeys({ olderThanMs: 0, limit })])
    );
    return rows.map(({ key }) => key).sort();
  };
  assertEquals(await deleteKeys(2), ["older", "oldest"]);
  assertEquals(await deleteKeys(2), ["old"]);
  assertEquals(await deleteKeys(2), []);
});

Deno.test("insertKeys inserts all keys, or none if one exists already", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const together = (keys: readonly string[]) =>
    db.transaction((session) => session.commit([insertKeys(keys), sql`select 1`]));
  await together(["one", "two"]);
  assertEquals(await unitOf(db, "two").do(), "loaded");
  await assertRejects(() => together(["three", "two"]), ServerError, "transaction_keys_pkey");
  assertEquals(await unitOf(db, "three").do(), "done");
  await assertRejects(() => together(["four", ""]), RangeError, "current length is 0");
});
