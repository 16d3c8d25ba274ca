/**
 * `deno task doctor`: looks at the database of `DATABASE_URL` as the service would use it, and says what to do. Changes
 * nothing. Exit code 1 if the service would not work there, 2 for arguments that cannot be read.
 */
import { parseArgs } from "node:util";
import { parseSettings, type Settings, SettingsError, VARIABLES } from "../../settings/settings.ts";
import { type Env, taskEnvironment } from "../env_file.ts";
import { startStack } from "../stack.ts";
import {
  capacityFinding,
  hiddenTables,
  migrationsFinding,
  type Patient,
  poolerFinding,
  rightsFinding,
  serverFinding,
  timeFindings,
} from "./checks.ts";
import { connectFailure } from "./connect_failure.ts";
import { DoctorConnection } from "./connection.ts";
import { type Finding, reportOf } from "./finding.ts";
import { replicaFindings } from "./replicas.ts";

/** All findings about the database of `env`, up to the first that makes the others impossible. Never rejects. */
export async function examine(env: Env, { instances = 1 } = {}): Promise<Finding[]> {
  const findings: Finding[] = [];
  try {
    if (!env["DATABASE_URL"]) {
      throw new SettingsError(["DATABASE_URL is not set; set it, or write it to .env"]);
    }
    // Starts a relay where the settings need one and name none.
    await using stack = await startStack(env);
    const settings = parseSettings(stack.env);
    findings.push(settingsFinding(env, stack.env), accessFinding(settings));
    await using connection = await connect(settings, findings);
    if (connection === undefined) return findings;
    await look({ settings, connection, instances }, findings);
  } catch (error) {
    findings.push(
      error instanceof SettingsError
        ? {
          name: "settings",
          status: "failed",
          found: [...error.problems, ...unreadNotes(env)].join("; "),
          advice: "Correct these variables.",
        }
        : {
          name: "doctor",
          status: "failed",
          found: error instanceof Error ? error.message : String(error),
          advice: "The database answered this statement of the doctor by an error.",
        },
    );
  }
  return findings;
}

function settingsFinding(given: Env, used: Env): Finding {
  const notes: string[] = [];
  const advice: string[] = [];
  if (used["DATABASE_WS_PROXY"] !== given["DATABASE_WS_PROXY"]) {
    notes.push("without the relay that this host needs");
    advice.push(
      "Set DATABASE_WS_PROXY for the service; the doctor has started a relay of its own.",
    );
  }
  const unread = unreadNotes(given);
  if (unread.length > 0) {
    notes.push(...unread);
    advice.push("Correct these names, or leave them if another program reads them.");
  }
  return {
    name: "settings",
    status: notes.length > 0 ? "advice" : "ok",
    found: ["valid", ...notes].join("; "),
    advice: advice.join(" ") || "Nothing to do.",
  };
}

/** Variables of the database by their names, of which a misspelled one has no effect. */
function unreadNotes(given: Env): string[] {
  const unread = Object.keys(given).filter((name) =>
    name.startsWith("DATABASE_") && given[name] !== "" && !VARIABLES.has(name)
  );
  return unread.length === 0 ? [] : [`the service does not read ${unread.join(", ")}`];
}

/** Without tokens the service does not start, as it would refuse every request. */
function accessFinding({ access: { tokens, jwt } }: Settings): Finding {
  const found = [
    ...(tokens.length > 0 ? [`${tokens.length} token(s) of API_TOKENS`] : []),
    ...(jwt === undefined ? [] : [`JWTs of ${jwt.issuer}`]),
  ];
  return found.length > 0
    ? { name: "access", status: "ok", found: found.join(", "), advice: "Nothing to do." }
    : {
      name: "access",
      status: "failed",
      found: "neither API_TOKENS nor AUTH_JWKS_URL is set",
      advice: "Make a token by `deno task token`: without one the service does not start.",
    };
}

/** Logs in, and tells a server that cannot be reached from one that refuses the login. */
async function connect(
  settings: Settings,
  findings: Finding[],
): Promise<DoctorConnection | undefined> {
  const { hostname, username } = new URL(settings.database.url);
  const reach = (status: Finding["status"], found: string, advice: string): Finding => ({
    name: "reach",
    status,
    found,
    advice,
  });
  const login = (status: Finding["status"], found: string, advice: string): Finding => ({
    name: "login",
    status,
    found,
    advice,
  });
  const startedAt = performance.now();
  try {
    const connection = await DoctorConnection.open(settings);
    const took = `${Math.round(performance.now() - startedAt)} ms`;
    findings.push(
      reach("ok", `${hostname} answers`, "Nothing to do."),
      login(
        "ok",
        `as ${JSON.stringify(decodeURIComponent(username))}, in ${took}`,
        "Nothing to do.",
      ),
    );
    return connection;
  } catch (error) {
    const { refused, found, advice } = connectFailure(error, "DATABASE_URL");
    findings.push(
      ...(refused
        ? [reach("ok", `${hostname} answers`, "Nothing to do."), login("failed", found, advice)]
        : [reach("failed", found, advice)]),
    );
    return undefined;
  }
}

async function look(patient: Patient, findings: Finding[]): Promise<void> {
  findings.push(await serverFinding(patient));
  const { pooler, finding } = await poolerFinding(patient);
  findings.push(finding);
  findings.push(await capacityFinding(patient, pooler));
  const hidden = await hiddenTables(patient);
  findings.push(await rightsFinding(patient, hidden));
  findings.push(await migrationsFinding(patient, hidden));
  findings.push(...await replicaFindings(patient));
  findings.push(...await timeFindings(patient));
}

function flagsOf(args: readonly string[]): { isJson: boolean; instances: number } {
  const { values: { json = false, instances = "1" } } = parseArgs({
    args: [...args],
    options: { json: { type: "boolean" }, instances: { type: "string" } },
  });
  if (!/^[1-9]\d{0,4}$/.test(instances)) {
    throw new Error(
      `Cannot count the instances as it must be a number from 1 to 99999: current value ${instances}; ` +
        "write --instances=2",
    );
  }
  return { isJson: json, instances: Number(instances) };
}

if (import.meta.main) {
  try {
    const { isJson, instances } = flagsOf(Deno.args);
    const findings = await examine(taskEnvironment(), { instances });
    const isHealthy = findings.every(({ status }) => status !== "failed");
    console.log(
      isJson ? JSON.stringify({ isHealthy, findings }, null, 2) : reportOf(findings),
    );
    Deno.exit(isHealthy ? 0 : 1);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(2);
  }
}
