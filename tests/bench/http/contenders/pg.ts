import { clientAccess } from "./client_access.ts";
import { CONNECTIONS, DATABASE_URL, serve } from "./hono_app.ts";

// Not an import that Deno can see before it runs: `../../main.ts` says why.
const PG = "npm:pg@8.23.1";
const { default: { Pool } } = await import(PG);

await serve(clientAccess(
  new Pool({ connectionString: DATABASE_URL, max: CONNECTIONS, idleTimeoutMillis: 60_000 }),
));
