/** What becomes of reads on one connection when one of them fails, is given up, takes long, or loses the connection. */
import { type LocalBranch, localDatabase } from "../../support/local_database.ts";

export const CLIENTS = ["shared", "postgres", "pg"] as const;

export type ClientName = typeof CLIENTS[number];

/** A read under way, and how its caller gives it up; `undefined` if the client has no way to. */
interface Read {
  readonly rows: Promise<unknown>;
  readonly giveUp?: () => void;
}

interface Client {
  read(text: string): Read;
  /** With the client's own limit of `LIMIT_MS`; `undefined` if it has none. */
  readonly readWithLimit: ((text: string) => Read) | undefined;
  end(): Promise<unknown>;
}

export type Ending = Readonly<Record<ClientName, string>>;

const LIMIT_MS = 300;
const SLOW = "select pg_sleep(2)";
const QUICK = ["select 1 as n", "select 2 as n"];

/** Names that Deno does not see before it runs: `../main.ts` says why. */
const PACKAGES = { postgres: "npm:postgres@3.4.9", pg: "npm:pg@8.23.1" };

async function ours(url: string, connections: number): Promise<Client> {
  const { openDatabase } = await import("../../../src/library/deno/mod.ts");
  const { trustedSql } = await import("../../../src/db/mod.ts");
  const pool = { size: connections, maxOverflow: 0 };
  const db = openDatabase({ url, transport: "tcp", pool });
  const read = (text: string, options: { statementTimeoutMs?: number } = {}) => {
    const controller = new AbortController();
    const session = db.session({ readOnly: true, signal: controller.signal, ...options });
    return { rows: session.commit([trustedSql(text)]), giveUp: () => controller.abort() };
  };
  return {
    read,
    readWithLimit: (text) => read(text, { statementTimeoutMs: LIMIT_MS }),
    end: () => db.close({ timeoutMs: 1_000 }),
  };
}

async function postgres(url: string, connections: number): Promise<Client> {
  const { default: connect } = await import(PACKAGES.postgres);
  const sql = connect(url, { max: connections });
  return {
    read(text) {
      const query = sql.unsafe(text, [], { prepare: true });
      // It is sent when it is first waited for.
      return { rows: query.then((rows: unknown) => rows), giveUp: () => query.cancel() };
    },
    readWithLimit: undefined,
    end: () => sql.end({ timeout: 1 }),
  };
}

async function pg(url: string, connections: number): Promise<Client> {
  const { default: { Pool } } = await import(PACKAGES.pg);
  const pool = new Pool({ connectionString: url, max: connections });
  pool.on("error", () => {});
  return {
    read: (text) => ({ rows: pool.query(text) }),
    readWithLimit: (text) => ({ rows: pool.query({ text, query_timeout: LIMIT_MS }) }),
    end: () => pool.end(),
  };
}

const MAKE = { shared: ours, postgres, pg };

interface Scene {
  readonly branch: LocalBranch;
  readonly client: Client;
}

/** The first read takes 2 s. The caller of the one at `index` gives up meanwhile. */
async function givenUp(client: Client, index: number): Promise<string> {
  const reads = [SLOW, ...QUICK].map((text) => client.read(text));
  const outcome = seen(reads);
  await sleep(200);
  const { giveUp } = reads[index]!;
  if (giveUp === undefined) return `cannot; ${await outcome}`;
  giveUp();
  return await outcome;
}

/** What the callers see, the first one first. */
const SCENES: Readonly<
  Record<string, { readonly connections: number; run(scene: Scene): Promise<string> }>
> = {
  "the second of three fails": {
    connections: 1,
    run: ({ client }) =>
      seen([QUICK[0]!, "select 1/0", QUICK[1]!].map((text) => client.read(text))),
  },
  "the second is given up, behind one of 2 s": {
    connections: 1,
    run: ({ client }) => givenUp(client, 1),
  },
  "the first, of 2 s, is given up": {
    connections: 1,
    run: ({ client }) => givenUp(client, 0),
  },
  "the first has a limit of 0.3 s, and takes 2 s": {
    connections: 1,
    async run({ client, branch }) {
      if (client.readWithLimit === undefined) return "has no limit of its own";
      const outcome = seen([client.readWithLimit(SLOW), ...QUICK.map((text) => client.read(text))]);
      await sleep(1_000);
      const running = (await runningOn(branch)).length > 0;
      return `${await outcome}; on the server it ${running ? "runs on" : "has ended"}`;
    },
  },
  "the first takes 2 s, and another connection is free": {
    connections: 2,
    async run({ client }) {
      await Promise.all(QUICK.map((text) => client.read(text).rows));
      return await seen([SLOW, ...QUICK].map((text) => client.read(text)));
    },
  },
  "the connection ends while the first runs": {
    connections: 1,
    async run({ client, branch }) {
      const outcome = seen([SLOW, ...QUICK].map((text) => client.read(text)));
      await sleep(300);
      for (const pid of await runningOn(branch)) {
        await branch.asAdmin(`select pg_terminate_backend(${pid})`);
      }
      return await outcome;
    },
  },
};

/** As `rows in 0.1 s` or `57014 in 0.1 s`, for each read. */
async function seen(reads: readonly Read[]): Promise<string> {
  const sinceMs = performance.now();
  const outcomes = await Promise.all(reads.map(async ({ rows }) => {
    const late = Promise.withResolvers<string>();
    const timer = setTimeout(() => late.resolve("nothing"), 4_000);
    const outcome = await Promise.race([
      rows.then(() => "rows", ({ sqlState, code, name }) => sqlState ?? code ?? name),
      late.promise,
    ]);
    clearTimeout(timer);
    return `${outcome} in ${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`;
  }));
  return outcomes.join(", ");
}

/** The backends that run `SLOW`. */
async function runningOn(branch: LocalBranch): Promise<number[]> {
  const rows = await branch.asAdmin<{ pid: number }>(`
    select pid from pg_stat_activity
    where datname = current_database() and query = '${SLOW}' and state = 'active'`);
  return rows.map(({ pid }) => pid);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function endings(): Promise<Readonly<Record<string, Ending>>> {
  await using branch = await (await localDatabase()).connectDirectly();
  const table: Record<string, Ending> = {};
  for (const [name, { connections, run }] of Object.entries(SCENES)) {
    const row: Partial<Record<ClientName, string>> = {};
    for (const each of CLIENTS) {
      const client = await MAKE[each](branch.env["DATABASE_URL"]!, connections);
      // The connection is open, and known to be direct.
      for (let k = 0; k < 3; k++) await client.read(QUICK[0]!).rows;
      row[each] = await run({ branch, client });
      await client.end().catch(() => {});
    }
    table[name] = row as Ending;
  }
  return table;
}

/** Markdown, since READMEs quote it. */
export function endingsTable(table: Readonly<Record<string, Ending>>): string {
  return [
    `| of three reads | ${CLIENTS.join(" | ")} |`,
    `|---|${CLIENTS.map(() => "---|").join("")}`,
    ...Object.entries(table).map(([name, row]) =>
      `| ${name} | ${CLIENTS.map((each) => row[each]).join(" | ")} |`
    ),
  ].join("\n");
}
