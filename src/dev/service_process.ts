/**
 * The service as a child of `deno task dev`. Reads its plan from the first line of its stdin and
 * drains at the end of it: that comes on request and by the parent's death alike, and a terminal's
 * Ctrl-C, which reaches only the parent, cuts no request.
 */
import { start } from "../deno/service.ts";
import { migrate } from "./migrate.ts";
import { planFromStdin } from "./plan_from_stdin.ts";
import type { ServicePlan } from "./service_child.ts";

async function serve(): Promise<void> {
  const given = await planFromStdin<ServicePlan>();
  if (given === undefined) return;
  const { plan } = given;
  for (const name of await migrate(plan.ownerEnv)) console.log(`Applied migration ${name}`);
  const service = await start(plan.env, {
    hostname: "127.0.0.1",
    opensOpsToLoopback: true,
  });
  // Renamed into place, so that the parent never reads half of it.
  await Deno.writeTextFile(`${plan.readyFile}.new`, service.url);
  await Deno.rename(`${plan.readyFile}.new`, plan.readyFile);
  await given.over();
  await service.shutdown();
}

if (import.meta.main) {
  try {
    await serve();
  } catch (error) {
    // Our own errors say all in their message; of others the stack is worth more.
    console.error(error instanceof Error && /^Cannot /.test(error.message) ? error.message : error);
    Deno.exit(1);
  }
  Deno.exit(0);
}
