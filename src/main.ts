/** Entry on Deno: reads the environment, serves until SIGINT or SIGTERM, drains, and exits. */
import { type RunningService, start } from "./deno/service.ts";
import { listenForSignals } from "./deno/signals.ts";
import { createLog } from "./ops/log.ts";
import { variables } from "./settings/schema.ts";

if (import.meta.main) {
  logUnhandled();
  const service = await startOrExit();
  // Logged at every LOG_LEVEL: the URL must always be known.
  createLog("info").info("listening", { url: service.url });
  void service.reportSchema();
  listenForSignals({
    onFirst: () => service.shutdown().then(() => Deno.exit(0)),
    onSecond: () => Deno.exit(130),
  });
}

async function startOrExit(): Promise<RunningService> {
  try {
    return await start(readVariables());
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}

/** An error that no code handles ends the process, as Deno's default does, but as one JSON line like all others. */
function logUnhandled(): void {
  const log = createLog("error");
  const end = (error: unknown) => {
    log.error("process ended by an unhandled error", { error });
    Deno.exit(1);
  };
  addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    end(event.reason);
  });
  addEventListener("error", (event) => {
    event.preventDefault();
    end(event.error);
  });
}

/** One by one: to read them all, the process would need permission for every variable of the machine. */
function readVariables(): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.keys(variables.entries).map((name) => [name, Deno.env.get(name)]),
  );
}
