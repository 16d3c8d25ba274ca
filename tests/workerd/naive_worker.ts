/** What programs do on other runtimes: one pool in a module variable. */
import { neonConfig, Pool } from "@neondatabase/serverless";

let pool: Pool | undefined;

export default {
  async fetch(_request: Request, env: Readonly<Record<string, string>>): Promise<Response> {
    neonConfig.useSecureWebSocket = false;
    neonConfig.wsProxy = (host, port) =>
      `${env["DATABASE_WS_PROXY"]!.slice("ws://".length)}?address=${host}:${port}`;
    pool ??= new Pool({ connectionString: env["DATABASE_URL"]! });
    const { rows } = await pool.query("select 1 as one");
    return Response.json(rows);
  },
};
