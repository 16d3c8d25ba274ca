/** Which server each read goes to while servers are late, silent, full or broken, on scripted drivers and a manual clock. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  CommitRowsLostError,
  type Database,
  DeadlineError,
  type PoolOptions,
  Replicas,
  ServerError,
  sql,
  type Statement,
} from "../../../../src/db/mod.ts";
import { createReplicas } from "../../../../src/library/replicas.ts";
import { denoSockets } from "../../../../src/library/deno/sockets.ts";
import { flushPromises, ManualClock } from "../../../support/manual_clock.ts";
import {
  type Answer,
  type ScriptedConnection,
  ScriptedDriver,
  serverError,
} from "../../../support/scripted_driver.ts";
import { databaseOf, poolOf } from "../../../support/test_pool.ts";

/** A server whose position and answers the test sets. */
class Server {
  readonly name: string;
  lsn = "0/100";
  cluster: string | null = "c1";
  timeline = "1";
  isReplica = true;
  /** Set while connects fail, or hang. */
  connects: () => void | Promise<void> = () => {};
  /** Answers the callers' own statements. */
  answers: (statement: Statement) => Answer | Promise<Answer> = () => ({
    rows: [{ server: this.name }],
  });
  /** Answers the question. */
  tells: (connection: ScriptedConnection) => Answer | Promise<Answer> = () => this.position();

  constructor(name: string) {
    this.name = name;
  }

  position(): Answer {
    const [high, low] = this.lsn.split("/") as [string, string];
    const lsn = `${high}${low.padStart(8, "0")}`;
    return { rows: this.isReplica ? [{ 0: this.cluster, 1: this.timeline, 2: lsn }] : [] };
  }

  /** Callers' own statements that it got. */
  asked = 0;
  readonly driver = new ScriptedDriver({
    onConnect: () => this.connects(),
    reply: (statement, connection) => {
      if (/pg_current_wal_insert_lsn|pg_last_wal_replay_lsn/.test(statement.text)) {
        return this.tells(connection);
      }
      if (statement.isInternal || /^(?:begin|commit|rollback)/.test(statement.text)) {
        return undefined;
      }
      this.asked++;
      return this.answers(statement);
    },
  });
}

const ADDRESS = { host: "replica.example", port: 5432 };

interface World {
  readonly clock: ManualClock;
  readonly primary: Server;
  readonly replica: Server;
  readonly db: Database;
  /** Reads by one flight. Returns where the answer came from. */
  read(after?: string): Promise<string>;
  counters(): { reads: number; stale: number; failed: number };
}

function worldTest(
  name: string,
  test: (world: World) => Promise<void>,
  { maxStalenessMs = 10_000, replicaPool = {} }: {
    maxStalenessMs?: number;
    replicaPool?: Partial<PoolOptions>;
  } = {},
): void {
  Deno.test(name, async () => {
    const clock = new ManualClock();
    const [primary, replica] = [new Server("primary"), new Server("replica")];
    const pool = poolOf(primary.driver, { clock });
    const servers = [{
      pool: poolOf(replica.driver, { clock, acquireTimeoutMs: 500, ...replicaPool }),
      address: ADDRESS,
    }];
    const replicas = new Replicas({
      primary: pool,
      servers,
      maxStalenessMs,
      clock,
      random: () => 0.999,
    });
    await using db = databaseOf(pool, { clock, replicas, random: () => 0 });
    const read = async (after?: string) => {
      const session = db.session({ readOnly: true, replica: after === undefined ? {} : { after } });
      const [[row]] = await session.commit([sql<{ server: string }>`select 1`]);
      return row!.server;
    };
    const counters = () => {
      const [{ reads, stale, failed }] = db.stats().replicas as [World["counters"] & never];
      return { reads, stale, failed };
    };
    await test({ clock, primary, replica, db, read, counters });
  });
}

/** Makes the first mark, and one read on the replica. */
async function warmUp({ read }: World): Promise<void> {
  assertEquals(await read(), "primary");
  await flushPromises();
  assertEquals(await read(), "replica");
}

const position = (lsn: string) =>
  `000000C1-00000001-${lsn.split("/").map((half) => half.padStart(8, "0")).join("")}`;

/** Asks for a read that the replica does not answer, and gives it up. */
async function giveUpOnReplica({ replica, db, clock }: World): Promise<void> {
  const { promise: hangs, resolve } = Promise.withResolvers<Answer>();
  replica.answers = () => hangs;
  const caller = new AbortController();
  const session = db.session({ readOnly: true, replica: {}, signal: caller.signal });
  const given = assertRejects(() => session.query(sql`select 2`), DeadlineError);
  await flushPromises();
  caller.abort();
  await clock.advance(1_000);
  await given;
  resolve(undefined);
}

async function write(db: Database): Promise<string | undefined> {
  const session = db.session();
  await session.commit([sql`insert into t values (1)`]);
  return session.position;
}

worldTest(
  "a commit's position is that of the server after it, in order of its text",
  async (world) => {
    const { primary, db } = world;
    const lsns = ["0/1", "0/A", "0/FFFFFFFF", "1/0", "A/10", "10/0", "FFFFFFFF/FFFFFFFF"];
    const positions: string[] = [];
    for (primary.lsn of lsns) positions.push((await write(db))!);
    assertEquals(positions, lsns.map(position));
    assertEquals(positions.toSorted(), positions);
    primary.timeline = "A";
    assert((await write(db))! > positions.at(-1)!);
  },
);

worldTest("a read goes to the replica that has replayed what it needs", async (world) => {
  const { primary, replica, db, read, clock } = world;
  await warmUp(world);
  primary.lsn = "0/200";
  const after = (await write(db))!;
  assertEquals(await read(after), "primary", "the replica is known to be behind");
  assertEquals(await read(), "replica", "the mark is as old as before");
  await clock.advance(101);
  const asked = replica.asked;
  assertEquals(await read(after), "primary");
  assertEquals(replica.asked, asked + 1, "one read has tried it");
  assertEquals(await read(after), "primary");
  assertEquals(replica.asked, asked + 1, "the next one has not");
  replica.lsn = "0/200";
  await clock.advance(101);
  assertEquals(await read(after), "replica");
  assertEquals(await read(after), "replica");
});

worldTest("no read is older than the mark, and a mark ends", async (world) => {
  const { primary, replica, read, clock } = world;
  await warmUp(world);
  primary.lsn = "0/300";
  for (let seconds = 0; seconds < 9; seconds++) {
    await clock.advance(1_000);
    assertEquals(await read(), "replica", `after ${seconds + 1} s`);
  }
  await clock.advance(2_000);
  assertEquals(await read(), "primary", "what was not replayed is older than 10 s");
  replica.lsn = "0/300";
  await clock.advance(200);
  assertEquals(await read(), "replica");
  primary.tells = () => serverError("57014", "canceled");
  await clock.advance(10_001);
  assertEquals(await read(), "primary", "no mark is young enough");
  await clock.advance(1_000);
  assertEquals(await read(), "primary");
});

worldTest(
  "without a mark from the primary no read goes to a replica",
  async ({ primary, read, clock }) => {
    primary.cluster = null;
    for (let times = 0; times < 5; times++) {
      assertEquals(await read(), "primary");
      await clock.advance(1_001);
    }
  },
);

worldTest(
  "while the primary is out of reach, a mark is asked for without a read, and reads go on",
  async (world) => {
    const { primary, read, clock } = world;
    await warmUp(world);
    const { promise: hangs } = Promise.withResolvers<Answer>();
    primary.tells = () => hangs;
    for (let seconds = 0; seconds < 9; seconds++) {
      await clock.advance(1_000);
      assertEquals(await read(), "replica");
    }
    await clock.advance(10_000);
  },
);

worldTest("a replica that fails is left out, and then tried by one read", async (world) => {
  const { replica, read, clock, counters } = world;
  await warmUp(world);
  replica.connects = () => {
    throw new Error("refused");
  };
  for (const connection of replica.driver.open) connection.cut();
  assertEquals(await read(), "primary");
  const connects = () => replica.driver.connections.length;
  const before = connects();
  for (let times = 0; times < 10; times++) assertEquals(await read(), "primary");
  assertEquals(connects(), before);
  await clock.advance(1_001);
  assertEquals([await read(), await read()], ["primary", "primary"]);
  assertEquals(counters().failed, 2);
  replica.connects = () => {};
  await clock.advance(1_001);
  assertEquals([await read(), await read()], ["replica", "replica"]);
});

worldTest(
  "a connect that hangs delays a read by half a second, and the next ones not at all",
  async (world) => {
    const { replica, read, clock } = world;
    await warmUp(world);
    const { promise: hangs, resolve } = Promise.withResolvers<void>();
    replica.connects = () => hangs;
    for (const connection of replica.driver.open) connection.cut();
    await flushPromises();
    const first = read();
    await flushPromises();
    await clock.advance(501);
    assertEquals(await first, "primary");
    assertEquals(await read(), "primary");
    resolve();
    await clock.advance(1_001);
    assertEquals(await read(), "replica");
  },
);

worldTest("a replica that has fallen silent gets no reads but one a second", async (world) => {
  const { replica, read, clock, db } = world;
  await warmUp(world);
  const { promise: hangs, resolve } = Promise.withResolvers<Answer>();
  replica.tells = () => hangs;
  const frozen = read().catch((error) => error);
  await flushPromises();
  await clock.advance(1_001);
  assertEquals(await read(), "primary");
  await clock.advance(1_001);
  const tried = read().catch((error) => error);
  await flushPromises();
  assertEquals(await read(), "primary");
  replica.tells = () => ({ rows: [{ 0: "c1", 1: "1", 2: "100" }] });
  resolve({ rows: [{ 0: "c1", 1: "1", 2: "100" }] });
  assertEquals([await frozen, await tried], ["replica", "replica"]);
  assertEquals(await read(), "replica");
  assertEquals(db.stats().leased, 0);
});

worldTest(
  "a read that was given up, or took too long, is not run again on the primary",
  async (world) => {
    const { primary, replica, read } = world;
    await warmUp(world);
    const asked = primary.asked;
    replica.answers = () => serverError("57014", "canceling statement due to statement timeout");
    await assertRejects(() => read(), ServerError, "statement timeout");
    await giveUpOnReplica(world);
    replica.answers = () => ({ rows: [{ server: "replica" }] });
    assertEquals(primary.asked, asked);
    assertEquals(await read(), "replica", "the replica is not to blame");
  },
);

worldTest("other errors of a replica are the primary's to tell", async (world) => {
  const { primary, replica, read, counters } = world;
  await warmUp(world);
  for (const sqlState of ["42P01", "40001", "40P01", "25006", "XX000", "53200"]) {
    replica.answers = () => serverError(sqlState, "of the replica");
    assertEquals(await read(), "primary", sqlState);
  }
  assertEquals(counters().failed, 0);
  primary.answers = () => serverError("42P01", "of the primary");
  await assertRejects(() => read(), ServerError, "of the primary");
});

worldTest(
  "a unit that fails on a replica after its first flight runs again on the primary, for free",
  async (world) => {
    const { replica, db, clock } = world;
    await warmUp(world);
    for (const sqlState of ["42P01", "40001"]) {
      let runs = 0;
      replica.answers = ({ text }) =>
        text === "select 2" ? serverError(sqlState, "later") : undefined;
      const unit = db.transaction(async (session) => {
        runs++;
        await session.query(sql`select 1`);
        await session.query(sql`select 2`);
        return "done";
      }, { readOnly: true, replica: {} });
      let isOver = false;
      void unit.finally(() => isOver = true).catch(() => {});
      for (let turn = 0; turn < 100 && !isOver; turn++) await clock.advance(0);
      assertEquals([await unit, runs], ["done", 2], sqlState);
    }
    assertEquals(db.stats().budgetDenied, 0);
  },
);

worldTest(
  "a replica whose connections are all in use is passed by, and not left out",
  async (world) => {
    const { replica, db, read } = world;
    await warmUp(world);
    const held = db.session({ readOnly: true, replica: {} });
    await held.query(sql`select 1`);
    const waiting = read();
    await flushPromises();
    assertEquals(await read(), "primary");
    await held.rollback();
    assertEquals(await waiting, "replica");
    assertEquals(await read(), "replica");
    assertEquals(replica.driver.open.length, 1);
  },
  { replicaPool: { size: 1, maxOverflow: 0, maxWaiters: 1 } },
);

worldTest(
  "an idle connection that has died costs its read a way to the primary, and the next ones nothing",
  async (world) => {
    const { replica, read } = world;
    await warmUp(world);
    replica.tells = (connection) => {
      if (connection === replica.driver.connections[0]) connection.cut({ begun: true });
      return replica.position();
    };
    assertEquals([await read(), await read()], ["primary", "replica"]);
  },
);

worldTest(
  "a request that would wait for a second connection goes to the primary, and leaves out no replica",
  async (world) => {
    const { db, read } = world;
    await warmUp(world);
    const request = db.forRequest();
    const held = request.session({ readOnly: true, replica: {} });
    await held.query(sql`select 1`);
    const [[row]] = await request.session({ readOnly: true, replica: {} })
      .commit([sql<{ server: string }>`select 1`]);
    assertEquals(row!.server, "primary");
    await held.rollback();
    assertEquals(await read(), "replica");
  },
  { replicaPool: { size: 1, maxOverflow: 0 } },
);

worldTest("a server that is no replica of the primary's cluster answers no read", async (world) => {
  const { replica, read, clock } = world;
  await warmUp(world);
  replica.isReplica = false;
  assertEquals(await read(), "primary");
  replica.isReplica = true;
  replica.cluster = "c2";
  replica.lsn = "FFFF/0";
  await clock.advance(1_001);
  assertEquals(await read(), "primary");
  replica.cluster = "c1";
  replica.timeline = "0";
  await clock.advance(1_001);
  assertEquals(await read(), "primary");
});

worldTest(
  "a commit is one although the question behind it fails, and has no position of its own",
  async (world) => {
    const { primary, replica, db, read } = world;
    await warmUp(world);
    primary.tells = () => serverError("57014", "canceled");
    primary.answers = () => ({ rows: [{ id: 1 }] });
    const session = db.session();
    assertEquals(await session.commit([sql`insert into t values (1)`]), [[{ id: 1 }]]);
    assertEquals([session.isCommitted, session.position], [true, "primary"]);
    primary.answers = () => ({ rows: [], decodeError: new Error("a parser has failed") });
    const unread = db.session();
    await assertRejects(
      () => unread.commit([sql`insert into t values (1) returning id`]),
      CommitRowsLostError,
    );
    assertEquals(unread.position, "primary");
    primary.tells = () => ({ rows: [] });
    assertEquals(await write(db), "primary");
    primary.answers = () => ({ rows: [{ server: "primary" }] });
    assertEquals(await read("primary"), "primary");
    assertEquals(replica.asked, 1);
  },
);

worldTest(
  "only a commit that was sent, of a session that may write, has a position",
  async ({ db }) => {
    const session = db.session();
    assertEquals(session.position, undefined);
    await session.query(sql`select 1`);
    assertEquals(session.position, undefined);
    await session.commit();
    assert(session.position !== undefined);
    for (const end of ["commit", "rollback"] as const) {
      const empty = db.session();
      await empty[end]();
      assertEquals(empty.position, undefined);
    }
    const reading = db.session({ readOnly: true });
    await reading.commit([sql`select 1`]);
    assertEquals(reading.position, undefined);
  },
);

/** What is not 0 of why the primary has answered. */
function fallbacksOf(db: Database): Record<string, number> {
  const entries = Object.entries(db.stats().replicaFallbacks!);
  return Object.fromEntries(entries.filter(([, count]) => count !== 0));
}

const stateOf = (db: Database) => db.stats().replicas![0]!;

worldTest("each read that the primary answers has one reason", async (world) => {
  const { primary, replica, db, read, clock } = world;
  assertEquals(fallbacksOf(db), {});
  assertEquals(await read(), "primary");
  assertEquals(fallbacksOf(db), { unmarked: 1 });
  await flushPromises();
  assertEquals(await read(), "replica");

  await read("primary");
  await read(position("0/100").replace("C1", "C2"));
  assertEquals(fallbacksOf(db), { unmarked: 1, position: 2 });
  await db.session({ readOnly: true, isolation: "serializable", replica: {} })
    .commit([sql`select 1`]);
  assertEquals(fallbacksOf(db), { unmarked: 1, position: 2, isolation: 1 });

  primary.lsn = "0/200";
  const after = (await write(db))!;
  await clock.advance(101);
  await read(after);
  assertEquals([fallbacksOf(db)["behind"], stateOf(db).stale], [1, 1], "it told so");
  await read(after);
  assertEquals([fallbacksOf(db)["behind"], stateOf(db).stale], [2, 1], "it was known");

  replica.answers = () => serverError("40001", "of the replica");
  await read();
  assertEquals([fallbacksOf(db)["error"], stateOf(db).errors], [1, 1]);
  replica.answers = () => ({ rows: [{ server: "replica" }] });

  replica.isReplica = false;
  await read();
  assertEquals([fallbacksOf(db)["unavailable"], stateOf(db).failed], [1, 1], "it has failed");
  await read();
  assertEquals([fallbacksOf(db)["unavailable"], stateOf(db).failed], [2, 1], "it was left out");
  replica.isReplica = true;
  replica.lsn = "0/200";
  await clock.advance(1_001);
  assertEquals(await read(after), "replica");
  const expected = { unmarked: 1, position: 2, isolation: 1, behind: 2, error: 1, unavailable: 2 };
  assertEquals(fallbacksOf(db), expected);
  assertEquals(stateOf(db).reads, 2);
});

worldTest("a read whose caller gave up is no read of the primary's", async (world) => {
  const { db } = world;
  await warmUp(world);
  await giveUpOnReplica(world);
  assertEquals([stateOf(db).failed, fallbacksOf(db)], [1, { unmarked: 1 }]);
});

worldTest(
  "the lag is that between the newest answers of both, and has their age",
  async (world) => {
    const { primary, replica, db, read, clock } = world;
    assertEquals([stateOf(db).lag, stateOf(db).address], [undefined, ADDRESS]);
    await warmUp(world);
    assertEquals(stateOf(db).lag, { bytes: 0, ageMs: 0 });
    await clock.advance(700);
    assertEquals(stateOf(db).lag, { bytes: 0, ageMs: 700 });
    primary.lsn = "1/FF";
    await write(db);
    assertEquals(stateOf(db).lag, { bytes: 0xFFFF_FFFF, ageMs: 700 }, "as the replica was then");
    replica.lsn = "1/F0";
    await read();
    assertEquals(stateOf(db).lag, { bytes: 15, ageMs: 0 });
    replica.lsn = "1/1FF";
    await read();
    assertEquals(
      stateOf(db).lag,
      { bytes: 0, ageMs: 0 },
      "further than the primary was heard to be",
    );
    primary.timeline = "2";
    await write(db);
    assertEquals(stateOf(db).lag, undefined, "on another timeline");
  },
);

worldTest("a replica is shown as left out from its failure to its next answer", async (world) => {
  const { replica, db, read, clock } = world;
  assertEquals(stateOf(db).isLeftOut, false);
  await warmUp(world);
  replica.isReplica = false;
  await read();
  assertEquals(stateOf(db).isLeftOut, true);
  await clock.advance(5_000);
  assertEquals(stateOf(db).isLeftOut, true);
  replica.isReplica = true;
  await read();
  assertEquals(stateOf(db).isLeftOut, false);

  const { promise: hangs, resolve } = Promise.withResolvers<Answer>();
  replica.tells = () => hangs;
  const silent = read();
  await flushPromises();
  await clock.advance(1_001);
  assertEquals(stateOf(db).isLeftOut, true, "it is silent");
  resolve(replica.position());
  await silent;
  assertEquals(stateOf(db).isLeftOut, false);
});

worldTest("the pool of a replica can be inspected", async (world) => {
  const { db } = world;
  await warmUp(world);
  await using session = db.session({ readOnly: true, replica: {}, label: "GET /things" });
  await session.query(sql`select 1`);
  const { connections, replicas } = db.inspect();
  assert(connections.every(({ label }) => label === undefined));
  assertEquals(replicas?.[0]?.connections.map(({ label }) => label), ["GET /things"]);
});

worldTest("reads are divided among replicas that are alike", async ({ clock, primary }) => {
  const servers = [new Server("one"), new Server("two"), new Server("three")];
  const pool = poolOf(primary.driver, { clock });
  const replicas = new Replicas({
    primary: pool,
    servers: servers.map(({ driver }) => ({ pool: poolOf(driver, { clock }), address: ADDRESS })),
    maxStalenessMs: 10_000,
    clock,
    random: () => 0,
  });
  await using db = databaseOf(pool, { clock, replicas });
  for (let times = 0; times < 31; times++) {
    await db.session({ readOnly: true, replica: {} }).commit([sql`select 1`]);
    await flushPromises();
  }
  assertEquals(servers.map(({ asked }) => asked), [10, 10, 10]);
});

Deno.test("a database without replicas ignores the wish for one", async () => {
  const server = new Server("primary");
  await using db = databaseOf(poolOf(server.driver));
  await db.session({ readOnly: true, replica: { after: "primary" } }).commit([sql`select 1`]);
  assertEquals([await write(db), db.stats().replicas], [undefined, undefined]);
  assertEquals(server.driver.connections.flatMap(({ flights }) => flights).length, 2);
});

Deno.test("a bad staleness and a bad URL are refused", () => {
  const url = "postgresql://user:password@127.0.0.1/database";
  const pool = poolOf(new ScriptedDriver());
  for (const maxStalenessMs of [0, -1, Infinity, NaN]) {
    assertThrows(
      () => createReplicas(pool, { url }, { urls: [url], maxStalenessMs }, denoSockets),
      RangeError,
      `current value is ${maxStalenessMs}`,
    );
  }
  for (const bad of ["postgresql://secret", "secret"]) {
    const { message } = assertThrows(
      () => createReplicas(pool, { url }, { urls: [bad] }, denoSockets),
      TypeError,
      "current value is hidden",
    ) as Error;
    assert(!message.includes("secret"), message);
  }
});

Deno.test("a replica that is the primary, or is named twice, is refused without showing its URL", () => {
  const url = "postgresql://user:secret@db.example/app";
  const standby = "postgresql://user:secret@standby.example/app";
  const create = (...urls: string[]) =>
    createReplicas(poolOf(new ScriptedDriver()), { url }, { urls }, denoSockets);
  for (
    const [urls, reason] of [
      [[url], "replica 1 as it is the primary"],
      [
        [standby, "postgres://other@DB.example:5432/app?sslmode=disable"],
        "replica 2 as it is the primary",
      ],
      [[standby, standby], "replica 2 as it is replica 1"],
    ] as const
  ) {
    const { message } = assertThrows(() => create(...urls), TypeError, reason) as Error;
    assert(!message.includes("secret"), message);
  }
  // Of a pooler, by whose names of databases each leads to another server; and another server of the same host.
  create(
    "postgresql://user:secret@db.example/app_replica",
    "postgresql://user@db.example:5433/app",
  );
});
