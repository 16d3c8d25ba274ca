/** A Worker that logs in and asks one question, for `md5_test.ts`. */
import { sql } from "../../../src/db/mod.ts";
import { databases, type WorkerContext } from "../../../src/library/workers/mod.ts";

export default {
  async fetch(request: Request, env: { DATABASE_URL: string }, ctx: WorkerContext) {
    const db = databases({ url: env.DATABASE_URL, transport: "tcp" }).forRequest(ctx, request);
    const [[row]] = await db.session({ readOnly: true }).commit([sql`select current_user as name`]);
    return Response.json(row);
  },
};
