import { clientAccess } from "./client_access.ts";
import { serve } from "./hono_app.ts";
import { neonPool } from "./neon_pool.ts";

await serve(clientAccess(neonPool()));
