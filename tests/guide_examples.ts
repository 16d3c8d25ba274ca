/** What each block of code in the library's READMEs does, once it has run. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Hono } from "hono";
import type { Database } from "../src/db/mod.ts";
import type { LocalBranch } from "./support/local_database.ts";

/** What the surroundings of a block give it, and what the test asks of it. */
export interface Given {
  readonly db: Database;
  readonly Deno: { readonly env: { get(name: string): string | undefined } };
  readonly console: { log(...values: unknown[]): void };
  readonly app: Hono;
}

export interface Ran {
  readonly app: Pick<Hono, "request">;
  readonly branch: LocalBranch;
  /** What the block has printed, one line for each call. */
  readonly printed: string[];
}

export interface Example {
  /** A part of its code, which no other block has. */
  readonly has: string;
  /** What the code around it defines. */
  readonly prelude?: string;
  /** A statement that the administrator runs before. */
  readonly before?: string;
  readonly check: (ran: Ran) => Promise<void> | void;
}

/** The blocks that run in this process, in this order, on one database. */
export const EXAMPLES: readonly Example[] = [
  {
    has: "select version()",
    check: ({ printed }) => assertMatch(printed.join(), /^PostgreSQL \d+/),
  },
  {
    has: "Ann has paid",
    async check({ branch, printed }) {
      assertEquals(printed.sort(), ["70.00", "Ann has paid"]);
      assertEquals(
        await branch.asAdmin("select owner, balance from accounts order by owner"),
        [{ owner: "Ann", balance: "70.00" }, { owner: "Bob", balance: "30.00" }],
      );
      assertEquals(await branch.asAdmin("select amount from transfers"), [{ amount: "30.00" }]);
    },
  },
  {
    has: "update accounts set balance = 1e99",
    async check({ branch, printed }) {
      assertEquals(printed, ["3", "undone, and the transaction goes on"]);
      assertEquals(
        await branch.asAdmin("select count(*)::int as n, sum(balance) as sum from accounts"),
        [{ n: 5, sum: "130.00" }],
      );
    },
  },
  {
    has: "session.position",
    check: ({ printed }) => assertEquals(printed, ["seen"]),
  },
  {
    has: "length: 8",
    check: ({ printed }) => assertEquals(printed, ["0,1,2,3,4,5,6,7"]),
  },
  {
    has: "batchSize: 500",
    check: ({ printed }) => assertEquals(printed, ["Ann", "Bob", "Cleo", "Dan", "Eve"]),
  },
  {
    has: "vacuum accounts",
    async check({ branch }) {
      for (let turn = 0; turn < 100; turn++) {
        const [row] = await branch.asAdmin<{ n: bigint }>(
          "select vacuum_count as n from pg_stat_user_tables where relname = 'accounts'",
        );
        if (row!.n > 0n) return;
      }
      assert(false, "accounts was not vacuumed");
    },
  },
  {
    has: "loadResult: async",
    before: "drop table transaction_keys",
    async check({ branch, printed }) {
      assertEquals(printed, ["true"]);
      assertEquals(await branch.asAdmin("select key from transaction_keys"), [{
        key: "request-7",
      }]);
    },
  },
  {
    has: "error.constraint",
    check: ({ printed }) => assertEquals(printed, ["taken: accounts_owner_key"]),
  },
  {
    has: 'sql`balance >= ${"0.00"}`',
    check({ printed }) {
      const settings = { colour: "red", limits: [1, 2] };
      assertEquals(JSON.parse(printed[0]!), [
        { owner: "Ann", balance: "70.00", settings },
        { owner: "Bob", balance: "30.00", settings },
      ]);
    },
  },
  {
    has: "parsers: { 20: Number }",
    check: ({ printed }) => assertEquals(printed, ["1", '[{"count":1}]']),
  },
  {
    has: '.post("/accounts"',
    async check({ app, branch, printed }) {
      const post = () =>
        app.request("/accounts", { method: "POST", body: JSON.stringify({ owner: "Gus" }) });
      const response = await post();
      const { id, balance } = await response.json();
      assertEquals([response.status, balance], [201, "0.00"]);
      assertEquals(await branch.asAdmin("select id from accounts where owner = 'Gus'"), [{ id }]);
      assertEquals(printed, ["opened Gus"]);
      const again = await post();
      assertEquals(
        [again.status, again.headers.get("Content-Type"), (await again.json()).type],
        [409, "application/problem+json", "/problems/conflict"],
      );
    },
  },
  {
    has: "withStreamingSession(",
    prelude: `
      import { provideDatabase } from "@user-service/db/hono";
      app.use(provideDatabase(db));`,
    async check({ app }) {
      const response = await app.request("/accounts.csv");
      assertEquals(
        await response.text(),
        "Ann,70.00\nBob,30.00\nCleo,10.00\nDan,10.00\nEve,10.00\n" +
          "Fay,0.00\nGus,0.00\n",
      );
    },
  },
];

/** The blocks that run in workerd. */
export const WORKER_BLOCKS = [
  "select 6 * 7 as answer",
  "select 42 as answer",
  "select 40 + 2 as answer",
];
