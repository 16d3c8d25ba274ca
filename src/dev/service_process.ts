/**
 * The service as a child process of `deno task dev`. It reads its plan from the first line of its stdin, and shuts down
 * when the input ends: that happens when the parent closes it and when the parent dies. A terminal's Ctrl-C reaches
 * only the parent, so it cannot cut a request.
 */
import { start } from "../deno/service.ts";
import { loopbackHosts } from "./loopback_hosts.ts";
import { migrate } from "./migrate.ts";
import { planFromStdin } from "./plan_from_stdin.ts";
import type { ServicePlan } from "./service_child.ts";

async function serve(): Promise<void> {
  const given = await planFromStdin<ServicePlan>();
  if (given === undefined) return;
  const { plan } = given;
  const applied = plan.ownerEnv === undefined ? [] : await migrate(plan.ownerEnv);
  for (const name of applied) console.log(`Applied migration ${name}`);
  const service = await start(plan.env, {
    hostname: "127.0.0.1",
    opensOpsToLoopback: true,
    middleware: [loopbackHosts()],
  });
  // Renamed into place, so that the parent never reads half of the URL.
  await Deno.writeTextFile(`${plan.readyFile}.new`, service.url);
  await Deno.rename(`${plan.readyFile}.new`, plan.readyFile);
  void service.reportSchema();
  await given.over();
  await service.shutdown();
}

if (import.meta.main) {
  try {
    await serve();
  } catch (error) {
    // The messages of the project's own errors are complete; for others print the stack too.
    console.error(error instanceof Error && /^Cannot /.test(error.message) ? error.message : error);
    Deno.exit(1);
  }
  Deno.exit(0);
}
