/** A database whose letters have the cases of Turkish: `lower('I')` is `ı` there. */
import { type Branch, branchOf, type Env, runAlone } from "./branch.ts";
import type { LocalBranch } from "./local_database.ts";

export interface TurkishDatabase extends AsyncDisposable {
  /** Settings of the tables' owner, which row-level security binds as well. */
  readonly env: Env;
  readonly branch: Branch;
}

/** Creates an empty one on the server of `branch`. Disposing of it drops it. */
export async function turkishDatabase(branch: LocalBranch): Promise<TurkishDatabase> {
  const name = `turkish_${crypto.randomUUID().replaceAll("-", "")}`;
  await branch.asAdmin(
    `create database ${name} template template0 encoding 'UTF8' ` +
      "locale_provider icu icu_locale 'tr-TR' owner user_service_owner",
  );
  const envOf = (role: "postgres" | "user_service_owner"): Env => {
    const env = branch.envOf(role);
    const url = new URL(env["DATABASE_URL"]!);
    url.pathname = `/${name}`;
    return { ...env, DATABASE_URL: url.href };
  };
  const env = envOf("user_service_owner");
  const turkish = branchOf({ env, adminEnv: envOf("postgres") });
  return {
    env,
    branch: turkish,
    async [Symbol.asyncDispose]() {
      await turkish[Symbol.asyncDispose]();
      await runAlone(branch.envOf("postgres"), `drop database ${name} with (force)`);
    },
  };
}
