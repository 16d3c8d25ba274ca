/**
 * `deno task worker`: starts PostgreSQL and a relay, migrates, and runs the Worker in Cloudflare's runtime. Wrangler
 * restarts it after every change of a source file.
 */
import { banner } from "../banner.ts";
import { withDevToken } from "../dev_token.ts";
import { takeDevLock } from "../dev_lock.ts";
import { taskEnvironment } from "../env_file.ts";
import { migrate } from "../migrate.ts";
import { mayMigrate } from "../migration_consent.ts";
import { printRefusals } from "../relay.ts";
import { startStack } from "../stack.ts";
import { type Running, untilSignalled } from "../until_signalled.ts";
import { startWorkerChild } from "./worker_child.ts";

/** Wrangler's own default. */
const DEFAULT_PORT = "8787";

/** How long wrangler may take to end before it is killed. */
const STOP_TIMEOUT_MS = 3_000;

/** Resolves to the exit code. */
async function develop(ending: Promise<void>, running: Running): Promise<number> {
  const startedAtMs = performance.now();
  using lock = await takeDevLock("start");
  const { env, token } = await withDevToken(taskEnvironment([".dev.vars", ".env"]));
  const migrates = mayMigrate(env, Deno.args);
  await using stack = running.stack = await startStack(env, {
    // A Worker's WebSocket tells only the status.
    onRefusal: printRefusals(),
  });
  const applied = migrates ? await migrate(stack.ownerEnv) : [];
  for (const name of applied) console.log(`Applied migration ${name}`);
  const child = running.child = await startWorkerChild(stack.env, {
    port: env["PORT"] || DEFAULT_PORT,
  });
  const announced = child.serving.then(async (url) => {
    if (url === undefined) return;
    await lock.announce(url);
    const tookMs = performance.now() - startedAtMs;
    console.log(banner({ url, token, stack, migrates, servesOps: false, tookMs }));
  });
  const code = await Promise.race([child.ended, ending.then(() => 0)]);
  await child.stop({ deadlineMs: STOP_TIMEOUT_MS });
  await announced;
  return code;
}

if (import.meta.main) await untilSignalled(develop);
