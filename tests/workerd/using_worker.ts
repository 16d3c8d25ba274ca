/** Sessions that only `await using` ends: their state shows whether the bundler kept the disposal. */
import { type Database, OwnerScope, sql } from "../../src/db/mod.ts";
import { createDatabase } from "../../src/library/create_database.ts";
import { workersSockets } from "../../src/library/workers/sockets.ts";
import { parseSettings } from "../../src/settings/settings.ts";

async function insertAndForget(db: Database): Promise<void> {
  await using session = db.session();
  await session.query(
    sql`insert into users (id, email, name) values (gen_random_uuid(), 'a', 'A')`,
  );
}

/** The values are not used otherwise, so a faulty minifier may remove the declarations. */
async function count(disposed: string[]): Promise<void> {
  await using _first = noted("first", disposed);
  await using _second = noted("second", disposed);
  using _third = { [Symbol.dispose]: () => void disposed.push("third") };
  await Promise.resolve();
}

function noted(name: string, disposed: string[]): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: () => {
      disposed.push(name);
      return Promise.resolve();
    },
  };
}

export default {
  async fetch(
    _request: Request,
    env: Readonly<Record<string, unknown>>,
    ctx: { waitUntil(rest: Promise<unknown>): void },
  ): Promise<Response> {
    const database = createDatabase(parseSettings(env).database, workersSockets);
    const scope = OwnerScope.request();
    const db = database.forOwner({ scope, waitUntil: (rest) => ctx.waitUntil(rest) });
    await insertAndForget(db);
    const { leased, idle } = db.stats();
    const disposed: string[] = [];
    await count(disposed);
    ctx.waitUntil(database.endScope(scope));
    return Response.json({ leased, idle, disposed });
  },
};
