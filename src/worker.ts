/**
 * Entry on Cloudflare Workers: HTTP requests, the consumer of user events, the cron sweep, the Durable Object class, and
 * the entrypoint for bindings of other Workers.
 * With `DATABASE_OBJECT_SHARDS=0` each request opens sockets of its own; otherwise Durable Objects keep pools.
 */
import { workerOf } from "./workers/entry.ts";
import { notInstrumented } from "./workers/instrumentation.ts";

export { DatabaseObject } from "./workers/database_object.ts";

const { handlers, UsersEntrypoint } = workerOf(notInstrumented);

export { UsersEntrypoint };
export default handlers;
