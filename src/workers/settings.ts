/** A Worker's settings, from its bindings. */
import { variables } from "../settings/schema.ts";
import { parseSettings, type Settings } from "../settings/settings.ts";

export type Bindings = Readonly<Record<string, unknown>>;

/**
 * Reads the settings. A variable may be bound as a text, as a secret of a Secrets Store, and `DATABASE_URL` as a
 * Hyperdrive. Throws `SettingsError`, and the error of a secret that cannot be read.
 * https://developers.cloudflare.com/secrets-store/integrations/workers/
 * https://developers.cloudflare.com/hyperdrive/get-started/
 */
export async function workerSettings(bindings: Bindings): Promise<Settings> {
  const env = await readBindings(bindings, Object.keys(variables.entries));
  return parseSettings(env, { hasFiles: false, serves: true });
}

/** The values of these variables. An empty text counts as unset. Rejects with the error of a secret that cannot be read. */
export async function readBindings(
  bindings: Bindings,
  names: readonly string[],
): Promise<Record<string, unknown>> {
  const values = await Promise.all(
    names.map(async (name) => [name, await valueOf(bindings[name])] as const),
  );
  return Object.fromEntries(values.filter(([, value]) => value !== "" && value !== undefined));
}

function valueOf(binding: unknown): unknown {
  if (typeof binding !== "object" || binding === null) return binding;
  if ("connectionString" in binding) return binding.connectionString;
  return "get" in binding && typeof binding.get === "function" ? binding.get() : binding;
}
