/** A Worker that streams rows into its response body. Each request has its own sockets. */
import { Hono } from "hono";
import { type Database, OwnerScope, type Session, sql } from "../../src/db/mod.ts";
import { provideDatabase, withStreamingSession } from "../../src/library/hono/mod.ts";
import { createDatabase } from "../../src/library/create_database.ts";
import { workersSockets } from "../../src/library/workers/sockets.ts";
import { parseSettings } from "../../src/settings/settings.ts";

const app = new Hono<{ Bindings: { db: Database } }>()
  .use(provideDatabase((c) => c.env.db))
  .get(
    "/rows",
    (c) => withStreamingSession(c, (session) => c.body(ReadableStream.from(linesOf(session)))),
  );

async function* linesOf(session: Session): AsyncIterable<Uint8Array> {
  const encoder = new TextEncoder();
  const rows = session.stream(sql<{ n: number }>`
    select n, repeat('x', 1000) as filling from generate_series(1, 8000) as n`);
  for await (const row of rows) yield encoder.encode(`${JSON.stringify(row)}\n`);
}

let database: Database | undefined;

export default {
  fetch(
    request: Request,
    env: Readonly<Record<string, unknown>>,
    ctx: { waitUntil(rest: Promise<unknown>): void },
  ): Promise<Response> {
    database ??= createDatabase(parseSettings(env).database, workersSockets);
    const scope = OwnerScope.request();
    const { signal } = request;
    const db = database.forOwner({ scope, signal, waitUntil: (rest) => ctx.waitUntil(rest) });
    const answer = Promise.resolve(app.fetch(request, { db }));
    ctx.waitUntil(answer.finally(() => database?.endScope(scope)));
    return answer;
  },
};
