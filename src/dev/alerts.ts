/** `deno task alerts [DIRECTORY]`: writes the alert rules for Prometheus and the dashboard for Grafana. */
import { join } from "node:path";
import rules from "../ops/alerts/rules.yml" with { type: "text" };
import { dashboard } from "../ops/alerts/dashboard.ts";

const DEFAULT_DIRECTORY = join("dist", "alerts");

/** Returns the paths of the files. They replace older ones. */
export async function writeAlerts(directory: string): Promise<string[]> {
  await Deno.mkdir(directory, { recursive: true });
  const files = {
    "user-service.rules.yml": rules,
    "user-service.dashboard.json": `${JSON.stringify(dashboard(), null, 2)}\n`,
  };
  const paths: string[] = [];
  for (const [name, text] of Object.entries(files)) {
    const path = join(directory, name);
    await Deno.writeTextFile(path, text);
    paths.push(path);
  }
  return paths;
}

if (import.meta.main) {
  try {
    const [directory = DEFAULT_DIRECTORY, ...rest] = Deno.args;
    if (rest.length > 0) throw new Error("Usage: deno task alerts [DIRECTORY]");
    for (const path of await writeAlerts(directory)) console.log(`Wrote ${path}`);
    console.log(
      "Name the first in `rule_files` of prometheus.yml, and import the second into Grafana",
    );
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
