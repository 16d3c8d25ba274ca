/** Failed statements, notices and `db.run` in workerd. */
import { OwnerScope, ServerError, sql } from "../../src/db/mod.ts";
import { createDatabase } from "../../src/library/create_database.ts";
import { workersSockets } from "../../src/library/workers/sockets.ts";
import { parseSettings } from "../../src/settings/settings.ts";

export default {
  async fetch(
    _request: Request,
    env: Readonly<Record<string, unknown>>,
    ctx: { waitUntil(rest: Promise<unknown>): void },
  ): Promise<Response> {
    const database = createDatabase(parseSettings(env).database, workersSockets);
    const scope = OwnerScope.request();
    const db = database.forOwner({ scope, waitUntil: (rest) => ctx.waitUntil(rest) });
    const notices: (string | undefined)[] = [];

    async function authorOfQuery(): Promise<void> {
      await using session = db.session({ onNotice: ({ message }) => void notices.push(message) });
      await session.query(sql`do $$ begin raise notice 'noted'; end $$`);
      await session.query(sql`select 1 / ${0}::int`);
    }
    async function authorOfRun(): Promise<void> {
      await db.run(sql`vacuum users`);
      await db.run(sql`vacuum nowhere`);
    }
    const failures = [];
    for (const author of [authorOfQuery, authorOfRun]) {
      const error = await author().then(() => undefined, (error) => error);
      if (!(error instanceof ServerError)) throw error;
      const { statement, sqlState, stack } = error;
      failures.push({ statement, sqlState, showsAuthor: stack!.includes(author.name) });
    }
    ctx.waitUntil(database.endScope(scope));
    return Response.json({ notices, failures, leased: db.stats().leased });
  },
};
