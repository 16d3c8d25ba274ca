/** `deno task dev`: PostgreSQL, relay, migrations, and the service, anew after every change. */
import { join } from "node:path";
import { banner } from "./banner.ts";
import { takeDevLock } from "./dev_lock.ts";
import { readEnvFile } from "./env_file.ts";
import { checkoutDirectory } from "./postgres_directory.ts";
import { type ServiceChild, startServiceChild } from "./service_child.ts";
import { listenForSignals } from "../signals.ts";
import { shutdownBudget } from "./shutdown_budget.ts";
import { SourceWatcher } from "./source_watcher.ts";
import { type Stack, startStack } from "./stack.ts";

/** What a second signal needs to reach, whatever the first one is waiting for. */
const running: { stack?: Stack; child?: ServiceChild } = {};

async function develop(ending: Promise<void>): Promise<void> {
  const startedAtMs = performance.now();
  using lock = await takeDevLock("start");
  readEnvFile(join(checkoutDirectory, ".env"));
  const env = Deno.env.toObject();
  const budget = shutdownBudget(env["SHUTDOWN_TIMEOUT"]);
  let isEnding = false;
  let endsAtMs = Infinity;
  const end = ending.then(() => {
    isEnding = true;
    endsAtMs = performance.now() + budget.totalMs;
  });
  const stack = running.stack = await startStack(env);
  const plan = {
    env: { ...stack.env, SHUTDOWN_TIMEOUT: String(budget.serviceMs / 1_000) },
    ownerEnv: stack.ownerEnv,
    readyFile: join(checkoutDirectory, ".local", "service-url"),
  };
  using changes = new SourceWatcher(join(checkoutDirectory, "src"));
  let hasServed = false;
  const onServing = async (url: string) => {
    await lock.announce(url);
    const tookMs = performance.now() - startedAtMs;
    console.log(hasServed ? `The service listens on ${url}` : banner({ url, stack, tookMs }));
    hasServed = true;
  };
  while (!isEnding) {
    const child = running.child = await startServiceChild(plan);
    report(child, onServing);
    await Promise.race([changes.next(), end]);
    if (!isEnding) console.log("A file under src changed: restarting the service");
    const deadlineMs = budget.serviceMs + budget.graceMs;
    if (await child.drain({ deadlineMs })) continue;
    console.error(`The service was killed, with its running requests, after ${deadlineMs} ms`);
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
    await develop(ending.promise);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
  Deno.exit(0);
}
