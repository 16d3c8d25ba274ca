/** What a Worker's author writes by hand: one client of `@neondatabase/serverless` for each request, as its README shows. */
import { Client, neonConfig } from "@neondatabase/serverless";
import { Hono } from "hono";

type Bindings = Readonly<Record<string, string>>;

const COLUMNS = "id, email, name, version, created_at, updated_at";

function clientOf(env: Bindings): Client {
  const { protocol, host, pathname } = new URL(env["DATABASE_WS_PROXY"]!);
  neonConfig.useSecureWebSocket = protocol === "wss:";
  neonConfig.wsProxy = (name, port) => `${host}${pathname}?address=${name}:${port}`;
  neonConfig.pipelineConnect = "password";
  return new Client(env["DATABASE_URL"]!);
}

export default new Hono<{ Bindings: Bindings }>()
  .get("/users/:id", async (c) => {
    const client = clientOf(c.env);
    await client.connect();
    try {
      const { rows } = await client.query(`select ${COLUMNS} from users where id = $1`, [
        c.req.param("id"),
      ]);
      return c.json(rows[0]);
    } finally {
      c.executionCtx.waitUntil(client.end());
    }
  })
  .post("/users", async (c) => {
    const { email, name } = await c.req.json();
    const client = clientOf(c.env);
    await client.connect();
    try {
      await client.query("begin");
      const { rows } = await client.query(
        `insert into users (id, email, name) values ($1, $2, $3) returning ${COLUMNS}`,
        [crypto.randomUUID(), email, name],
      );
      await client.query("commit");
      return c.json(rows[0], 201);
    } finally {
      c.executionCtx.waitUntil(client.end());
    }
  });
