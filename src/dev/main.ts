/**
 * `deno task dev`: starts PostgreSQL and a relay, then migrates and runs the service, again after every change of a
 * source file. A change of `.env` starts everything again.
 */
import { join } from "node:path";
import { banner } from "./banner.ts";
import { withDevToken } from "./dev_token.ts";
import { type DevLock, takeDevLock } from "./dev_lock.ts";
import { taskEnvironment } from "./env_file.ts";
import { mayMigrate } from "./migration_consent.ts";
import { checkoutDirectory } from "./checkout_directory.ts";
import { type ServiceChild, startServiceChild } from "./service_child.ts";
import { shutdownBudget } from "./shutdown_budget.ts";
import { SourceWatcher } from "./source_watcher.ts";
import { startStack } from "./stack.ts";
import { type Running, untilSignalled } from "./until_signalled.ts";

/** Resolves to the exit code. */
async function develop(ending: Promise<void>, running: Running): Promise<number> {
  using lock = await takeDevLock("start");
  using envFile = new SourceWatcher(checkoutDirectory, {
    recursive: false,
    isWatched: (name) => name === ".env",
  });
  let isEnding = false;
  ending.then(() => isEnding = true);
  while (!isEnding) await developOnce({ ending, running, lock, envFile });
  return 0;
}

/** Runs the stack and the service until the task ends, or until `.env` changes: that can name another database. */
async function developOnce(
  { ending, running, lock, envFile }: {
    ending: Promise<void>;
    running: Running;
    lock: DevLock;
    envFile: SourceWatcher;
  },
): Promise<void> {
  const startedAtMs = performance.now();
  const { env, token } = await withDevToken(taskEnvironment());
  const migrates = mayMigrate(env, Deno.args);
  const budget = shutdownBudget(env["SHUTDOWN_TIMEOUT"]);
  let isOver = false;
  let endsAtMs = Infinity;
  const over = Promise.race([
    ending,
    envFile.next().then(() => isOver || console.log("The file .env has changed: starting again")),
  ]).then(() => {
    isOver = true;
    endsAtMs = performance.now() + budget.totalMs;
  });
  const stack = running.stack = await startStack(env);
  const plan = {
    env: { ...stack.env, SHUTDOWN_TIMEOUT: String(budget.serviceMs / 1_000) },
    ...(migrates ? { ownerEnv: stack.ownerEnv } : {}),
    readyFile: join(checkoutDirectory, ".local", "service-url"),
  };
  using changes = new SourceWatcher(join(checkoutDirectory, "src"));
  let hasServed = false;
  const onServing = async (url: string) => {
    await lock.announce(url);
    const tookMs = performance.now() - startedAtMs;
    console.log(
      hasServed
        ? `The service listens on ${url}`
        : banner({ url, token, stack, migrates, servesOps: true, tookMs }),
    );
    hasServed = true;
  };
  while (!isOver) {
    const child = running.child = await startServiceChild(plan);
    report(child, onServing);
    await Promise.race([changes.next(), over]);
    if (!isOver) console.log("A file under src changed: restarting the service");
    const deadlineMs = budget.serviceMs + budget.graceMs;
    if (await child.drain({ deadlineMs })) continue;
    console.error(
      `The service did not stop within ${deadlineMs} ms; it was killed with its running requests`,
    );
  }
  await stack.stop({ deadlineMs: Math.max(500, endsAtMs - performance.now() - budget.graceMs) });
}

async function report(
  child: ServiceChild,
  onServing: (url: string) => Promise<void>,
): Promise<void> {
  const url = await child.serving;
  if (url !== undefined) await onServing(url);
  const code = await child.ended;
  if (code === undefined) return;
  console.error(
    `The service ended with exit code ${code}; it starts again when a file under src changes`,
  );
}

if (import.meta.main) await untilSignalled(develop);
