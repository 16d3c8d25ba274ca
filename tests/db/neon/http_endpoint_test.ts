/** Transactions by HTTP: the same rows, types and errors as over the WebSocket, and no connection of the pool. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import {
  CommitOutcomeUnknownError,
  ConnectError,
  type Database,
  DeadlineError,
  ServerError,
  type Session,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

const READ = { readOnly: true } as const;
const HTTP = { DATABASE_HTTP: "on" };

const ENDLESS = trustedSql("select count(*) from generate_series(1, 100000000000)");

/** What a unit gave: its rows, or what its error says. */
async function outcomeOf(work: Promise<unknown>): Promise<unknown> {
  try {
    return { rows: await work };
  } catch (error) {
    if (!(error instanceof ServerError)) return { error: (error as Error).name };
    const { message, stack: _, ...fields } = error;
    return { message, ...fields, statement: error.statement };
  }
}

const READS: Readonly<Record<string, (db: Database) => Promise<unknown>>> = {
  "every type of the parsers": (db) =>
    db.transaction(
      (session) =>
        session.commit([
          sql`select 1 as i, 2::int8 as b, true as t, null as n, 1.5::float8 as f, 1.10::numeric as d,
        '{"a":[1,null]}'::jsonb as j, '\\x00ff'::bytea as y, '2026-01-02 03:04:05.678+02'::timestamptz as z,
        array[1,null,3] as a, array['a,b','"',null] as x, '1 day'::interval as v, '{1,2}'::int8[] as l,
        'Ж€𝄞' as u, '2026-01-02'::date as q, 'infinity'::timestamptz as e`,
        ]),
      READ,
    ),
  "parameters of every kind": (db) =>
    db.transaction((session) =>
      session.commit([
        sql`select ${'it\'s \\ "quoted"'} as a, ${1}::int as b, ${2n}::int8 as c, ${true}::bool as d, ${null}::text as e,
        ${new Date(0)}::timestamptz as f, ${[1, 2]}::int[] as g, ${new Uint8Array([
          0,
          255,
        ])}::bytea as h,
        ${sql.json({ a: [1] })}::jsonb as i, ${""}::text as j`,
      ]), READ),
  "columns of one name, and of odd names": (db) =>
    db.transaction(
      (session) =>
        session.commit([sql`select 1 as a, 2 as a, 3 as "__proto__", 4 as "constructor"`]),
      READ,
    ),
  "no row, no column, several statements": (db) =>
    db.transaction(
      (session) => session.commit([sql`select 1 where false`, sql`select`, sql`select 2 as two`]),
      READ,
    ),
  "the modes of the transaction": (db) =>
    db.transaction(
      (session) =>
        session.commit([sql`select current_setting('transaction_isolation') as isolation,
        current_setting('transaction_read_only') as read_only, current_setting('transaction_deferrable') as deferrable,
        current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock,
        current_setting('app.user') as locals, current_setting('DateStyle') as format`]),
      {
        ...READ,
        isolation: "serializable",
        deferrable: true,
        statementTimeoutMs: 1_234,
        locals: { "app.user": "ann" },
      },
    ),
  "the session's own parsers": (db) =>
    db.transaction((session) => session.commit([sql`select 5 as n`]), {
      ...READ,
      parsers: { 23: (text) => `int ${text}` },
    }),
  "a failing statement, alone": (db) =>
    db.transaction((session) => session.commit([sql`select 1/${0}::int`]), READ),
  "a text that is no SQL": (db) =>
    db.transaction((session) => session.commit([sql`selekt 1`]), READ),
  "a write in a read-only transaction": (db) =>
    db.transaction((session) => session.commit([sql`delete from users`]), READ),
  "a missing table": (db) =>
    db.transaction((session) => session.commit([sql`select * from nowhere`]), READ),
  "a statement past its timeout": (db) =>
    db.transaction((session) => session.commit([ENDLESS]), {
      ...READ,
      statementTimeoutMs: 100,
      attempts: 1,
    }),
};

for (const [name, run] of Object.entries(READS)) {
  Deno.test(`by HTTP as over the WebSocket: ${name}`, async () => {
    await using branch = await database.connect();
    const [byHttp, bySocket] = [branch.open(HTTP), branch.open()];
    const expected = await outcomeOf(run(bySocket));
    assertEquals(await outcomeOf(run(byHttp)), expected);
    const { connected } = byHttp.stats().counters;
    assertEquals(connected, 0);
    assert(bySocket.stats().counters.connected > 0);
  });
}

Deno.test("by HTTP, a parser's error comes out as over the WebSocket", async () => {
  await using branch = await database.connect();
  const fail = { 23: () => JSON.parse("{") };
  for (const env of [HTTP, {}] as Record<string, string>[]) {
    const db = branch.open(env);
    const read = db.transaction((session) => session.commit([sql`select 1 as broken`]), {
      ...READ,
      parsers: fail,
    });
    await assertRejects(() => read, TypeError, 'Cannot read the column "broken"');
  }
});

Deno.test("what is more than one flight, or writes without a key, takes a connection", async () => {
  await using branch = await database.connect();
  const db = branch.open(HTTP);
  await db.transaction(async (session) => {
    await session.query(sql`select 1`);
    await session.commit([sql`select 2`]);
  }, READ);
  assertEquals(db.stats().counters.connected, 1);
  await db.transaction((session) => session.commit([insert("unkeyed")]));
  assertEquals(await named(db, "unkeyed"), 1);
  const notices: unknown[] = [];
  await db.transaction(
    (session) => session.commit([trustedSql("do 'begin raise notice $$hi$$; end'")]),
    {
      ...READ,
      onNotice: ({ message }) => void notices.push(message),
    },
  );
  assertEquals(notices, ["hi"]);
});

Deno.test("a keyed write by HTTP is done once, and again it gives its result", async () => {
  await using branch = await database.connect();
  const db = branch.open(HTTP);
  for (const _ of [1, 2]) assertEquals(await keyed(db, "ann"), "ann");
  assertEquals(await named(db, "ann"), 1);
  assertEquals(db.stats().counters.connected, 0);
});

Deno.test("the lost answer of a keyed write is settled by its key", async () => {
  await using branch = await database.connect();
  await using lossy = await Forwarder.to(branch.env["DATABASE_WS_PROXY"]!);
  const db = branch.open({ ...HTTP, DATABASE_WS_PROXY: lossy.url });
  lossy.losesAnswer = true;
  assertEquals(await keyed(db, "once"), "once");
  assertEquals(await named(db, "once"), 1);
  assertEquals(db.stats().counters.connected, 0);
});

Deno.test("a keyed write whose every answer is lost has an unknown outcome, and no second row", async () => {
  await using branch = await database.connect();
  await using lossy = await Forwarder.to(branch.env["DATABASE_WS_PROXY"]!);
  const db = branch.open({ ...HTTP, DATABASE_WS_PROXY: lossy.url, DATABASE_RETRY_ATTEMPTS: "3" });
  lossy.losesAll = true;
  await assertRejects(() => keyed(db, "twice"), CommitOutcomeUnknownError);
  lossy.losesAll = false;
  assertEquals(await named(db, "twice"), 1);
});

Deno.test("a read whose answer is lost is read again", async () => {
  await using branch = await database.connect();
  await using lossy = await Forwarder.to(branch.env["DATABASE_WS_PROXY"]!);
  const db = branch.open({ ...HTTP, DATABASE_WS_PROXY: lossy.url });
  lossy.losesAnswer = true;
  const [[row]] = await db.transaction((session) => session.commit([sql`select 1 as one`]), READ);
  assertEquals(row, { one: 1 });
  assertEquals(lossy.requests, 2);
});

Deno.test("an answer beyond the endpoint's limit is an error for good", async () => {
  await using branch = await database.connect();
  const db = branch.open(HTTP);
  const error = await assertRejects(
    () => db.transaction((session) => session.commit([sql`select repeat('x', 11000000)`]), READ),
    ServerError,
    "response is too large",
  );
  assertEquals([error.sqlState, error.attempts], ["54000", undefined]);
});

Deno.test("an abort ends the request, and the statement on the server", async () => {
  await using branch = await database.connect();
  const db = branch.open(HTTP);
  const caller = new AbortController();
  const read = db.transaction((session) => session.commit([ENDLESS]), {
    ...READ,
    signal: caller.signal,
  });
  const running = () =>
    branch.asAdmin<{ count: bigint }>(
      "select count(*) from pg_stat_activity where query like '%100000000000%' and state = 'active' and pid <> pg_backend_pid()",
    );
  while ((await running())[0]!.count === 0n);
  caller.abort(new Error("the client left"));
  await assertRejects(() => read, DeadlineError);
  while ((await running())[0]!.count !== 0n);
});

Deno.test("a wrong password is an error of the login, by HTTP too", async () => {
  await using branch = await database.connect();
  const url = new URL(branch.env["DATABASE_URL"]!);
  url.password = "wrong";
  const db = branch.open({ ...HTTP, DATABASE_URL: url.href });
  const error = await assertRejects(
    () => db.transaction((session) => session.commit([sql`select 1`]), READ),
    ConnectError,
  );
  assert(!error.message.includes("wrong"), error.message);
  assertEquals((error.cause as ServerError).sqlState, "28P01");
  assertEquals(error.attempts, undefined);
});

function insert(name: string) {
  return sql`insert into users (id, email, name) values (gen_random_uuid(), ${`${name}@example.org`}, ${name})
    returning name`;
}

async function keyed(db: Database, name: string): Promise<string> {
  return await db.transaction(
    async (session: Session) => {
      const [[row]] = await session.commit([insert(name)]);
      return (row as { name: string }).name;
    },
    {
      key: name,
      loadResult: async (session) => {
        const [[row]] = await session.commit([
          sql<{ name: string }>`select name from users where name = ${name}`,
        ]);
        return row!.name;
      },
    },
  );
}

/** How many users have that name. */
async function named(db: Database, name: string): Promise<number> {
  const [rows] = await db.transaction(
    (session) => session.commit([sql`select 1 from users where name = ${name}`]),
    READ,
  );
  return rows.length;
}

/** Passes requests on to a relay's endpoint, and cuts the client's connection in place of an answer when told to. */
class Forwarder implements AsyncDisposable {
  requests = 0;
  /** Once. */
  losesAnswer = false;
  losesAll = false;
  readonly #server;
  readonly #path: string;

  private constructor(relay: string) {
    const target = new URL(relay.replace("ws:", "http:"));
    this.#server = createServer((incoming, response) => {
      this.requests++;
      const loses = this.losesAnswer || this.losesAll;
      this.losesAnswer = false;
      const outgoing = request(
        {
          host: target.hostname,
          port: target.port,
          path: incoming.url,
          method: "POST",
          headers: incoming.headers,
        },
        (answer) => {
          if (loses) {
            answer.resume();
            answer.once("end", () => incoming.socket.destroy());
            return;
          }
          response.writeHead(answer.statusCode!, { "content-type": "application/json" });
          answer.pipe(response);
        },
      );
      incoming.pipe(outgoing);
    });
    this.#path = target.pathname;
  }

  static async to(relay: string): Promise<Forwarder> {
    const forwarder = new Forwarder(relay);
    await new Promise<void>((resolve) => forwarder.#server.listen(0, "127.0.0.1", resolve));
    return forwarder;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
