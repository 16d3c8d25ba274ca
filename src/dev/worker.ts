/** `deno task worker`: PostgreSQL, relay, migrations, and the Worker in Cloudflare's runtime, anew after every change. */
import { join } from "node:path";
import { listenForSignals } from "../signals.ts";
import { banner } from "./banner.ts";
import { takeDevLock } from "./dev_lock.ts";
import { readEnvFile } from "./env_file.ts";
import { migrate } from "./migrate.ts";
import { checkoutDirectory } from "./postgres_directory.ts";
import { type Stack, startStack } from "./stack.ts";
import { startWorkerChild, type WorkerChild } from "./worker_child.ts";

/** Wrangler's own. */
const DEFAULT_PORT = "8787";

/** How long wrangler may take to end. */
const STOP_TIMEOUT_MS = 3_000;

/** What a second signal needs to reach, whatever the first one is waiting for. */
const running: { stack?: Stack; child?: WorkerChild } = {};

/** Gives the exit code. */
async function develop(ending: Promise<void>): Promise<number> {
  const startedAtMs = performance.now();
  using lock = await takeDevLock("start");
  readEnvFile(join(checkoutDirectory, ".dev.vars"));
  const env = Deno.env.toObject();
  await using stack = running.stack = await startStack(env);
  for (const name of await migrate(stack.ownerEnv)) console.log(`Applied migration ${name}`);
  const child = running.child = await startWorkerChild(stack.env, {
    port: env["PORT"] || DEFAULT_PORT,
  });
  const announced = child.serving.then(async (url) => {
    if (url === undefined) return;
    await lock.announce(url);
    console.log(banner({ url, stack, tookMs: performance.now() - startedAtMs }));
  });
  const code = await Promise.race([child.ended, ending.then(() => 0)]);
  await child.stop({ deadlineMs: STOP_TIMEOUT_MS });
  await announced;
  return code;
}

function exitAtOnce(): void {
  running.child?.kill();
  const stopped = running.stack?.postgres?.stop({ deadlineMs: 1_000, immediately: true });
  // Without a server, or when it won't stop: the guardian looks after that.
  Promise.resolve(stopped).catch(() => {}).finally(() => Deno.exit(130));
}

if (import.meta.main) {
  try {
    const ending = Promise.withResolvers<void>();
    const onFirst = () => {
      console.log("Ending; a second Ctrl-C ends it at once");
      ending.resolve();
    };
    listenForSignals({ onFirst, onSecond: exitAtOnce });
    Deno.exit(await develop(ending.promise));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
