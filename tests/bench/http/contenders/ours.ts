/**
 * This service as `deno task start` runs it, of the revision in the working directory, and in addition `POST /three`,
 * since the service has no unit of three dependent statements. `--against` runs other revisions, so all of the service is
 * imported from the working directory, by names that Deno does not see before it runs.
 */
import { pathToFileURL } from "node:url";
import { untilInputEnds } from "./hono_app.ts";

const at = (path: string) => import(pathToFileURL(`${Deno.cwd()}/src/${path}`).href);

const { start } = await at("deno/service.ts");
const { sql } = await at("db/mod.ts");
const { withSession } = await at("http/with_session.ts").catch(() => at("library/hono/mod.ts"));

interface Row {
  readonly id: string;
  readonly version: number;
}

// deno-lint-ignore no-explicit-any -- the context of the revision that is measured
async function three(c: any, next: () => Promise<void>): Promise<void> {
  if (c.req.path !== "/three") return await next();
  const { email, name } = await c.req.json();
  const id = crypto.randomUUID();
  // No route of the service matches: it sets `c.var.db`, and answers 404, which costs a few microseconds.
  await next();
  // deno-lint-ignore no-explicit-any -- as above
  const response = await withSession(c, async (session: any) => {
    const [made]: Row[] = await session.query(sql`
      insert into users (id, email, name) values (${id}, ${email}, ${name}) returning id, version`);
    const [found]: Row[] = await session.query(
      sql`select id, version from users where id = ${made!.id}`,
    );
    await session.commit([sql`
      update users set name = 'Bob' where id = ${found!.id} and version = ${found!.version}`]);
    return Response.json(made, { status: 201 });
  });
  c.res = undefined;
  c.res = response;
}

const { url } = await start({ ...Deno.env.toObject(), PORT: "0" }, {
  hostname: "127.0.0.1",
  middleware: [three],
});
await untilInputEnds(Number(new URL(url).port));
