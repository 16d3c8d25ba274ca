/** Checks of a `DatabaseConfig` that no other part makes: callers may have no types. */
import { PREPARE_MODES } from "../db/mod.ts";
import { assertLimits, FINITE_OR_NEVER, shown, wholeFrom } from "../db/time/limits.ts";
import { DATABASE_DEFAULTS, type DatabaseConfig } from "./database_config.ts";
import { isRelayUrl, RELAY_RULE } from "./relay_url.ts";
import { HTTP_MODES } from "./sql_endpoint.ts";
import { TRANSPORTS } from "./transport.ts";

const WORDS = { transport: TRANSPORTS, http: HTTP_MODES, prepare: PREPARE_MODES };

/** The last options of a database are not read here: `openDatabase` and `databases` take them, and callers pass them on. */
const NAMES = {
  pool: Object.keys(DATABASE_DEFAULTS.pool),
  session: [...Object.keys(DATABASE_DEFAULTS.session), "readOnly"],
  options: [
    ...["url", "wsProxy", "pipelineConnect", "parsers"],
    ...Object.keys(DATABASE_DEFAULTS),
    ...["replicas", "observer", "onLeak", "onBackgroundError"],
  ],
};

/** Throws `TypeError` for a name, a word, a relay or a switch, and `RangeError` for a number, that cannot be used. */
export function assertConfig(config: DatabaseConfig): void {
  assertNames("options", config);
  assertNames("pool", config.pool);
  assertNames("session", config.session);
  for (const name of Object.keys(WORDS) as (keyof typeof WORDS)[]) {
    const [value, words]: [unknown, readonly unknown[]] = [config[name], WORDS[name]];
    if (value !== undefined && !words.includes(value)) {
      const list = words.map((word) => JSON.stringify(word)).join(", ");
      refuse(name, `it must be one of ${list}: current value is ${shown(value)}`);
    }
  }
  const { wsProxy, pipelineConnect, retryAttempts = DATABASE_DEFAULTS.retryAttempts, pool } =
    config;
  if (wsProxy !== undefined && !(typeof wsProxy === "string" && isRelayUrl(wsProxy))) {
    const current = typeof wsProxy === "string" && wsProxy !== "" ? "hidden" : shown(wsProxy);
    const wayOut = "write it as ws://host:port/path, or leave it out for none";
    refuse("wsProxy", `${RELAY_RULE}: current value is ${current}; ${wayOut}`);
  }
  // The text "off" would send the password in clear text.
  if (pipelineConnect !== undefined && typeof pipelineConnect !== "boolean") {
    refuse(
      "pipelineConnect",
      `it must be true or false: current value is ${shown(pipelineConnect)}`,
    );
  }
  const { leakThresholdMs = DATABASE_DEFAULTS.pool.leakThresholdMs } = pool ?? {};
  assertLimits("open the database", { retryAttempts, leakThresholdMs }, {
    retryAttempts: wholeFrom(1),
    leakThresholdMs: FINITE_OR_NEVER,
  });
}

/** A misspelled bound would leave the default in place. */
function assertNames(part: keyof typeof NAMES, given: object | null = {}): void {
  if (typeof given !== "object") {
    refuse(part, `it must be an object with options: current value is ${shown(given)}`);
  }
  for (const [name, value] of Object.entries(given ?? {})) {
    if (value === undefined || NAMES[part].includes(name)) continue;
    const path = part === "options" ? name : `${part}.${name}`;
    refuse(path, `there is no such option; use one of ${NAMES[part].join(", ")}`);
  }
}

function refuse(name: string, reason: string): never {
  throw new TypeError(`Cannot open the database as '${name}' cannot be used, ${reason}`);
}
