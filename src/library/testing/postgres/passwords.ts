import { join } from "node:path";

/** The superuser, the owner of the tables, the service's role, and a member of that role that logs in by SCRAM. */
export const roles = [
  "postgres",
  "user_service_owner",
  "user_service",
  "user_service_scram",
] as const;

export type PostgresRole = typeof roles[number];

export type Passwords = Readonly<Record<PostgresRole, string>>;

/** One random password for each role. */
export function makePasswords(): Passwords {
  const entries = roles.map((role) => [role, crypto.randomUUID().replaceAll("-", "")]);
  return Object.freeze(Object.fromEntries(entries));
}

/** The passwords stored in `directory`, or undefined when the file is missing or damaged. */
export async function readPasswords(directory: string): Promise<Passwords | undefined> {
  try {
    const value = JSON.parse(await Deno.readTextFile(fileIn(directory)));
    // Accept only what makePasswords makes: passwords go into SQL and URLs unescaped.
    return roles.every((role) => /^[0-9a-f]{32}$/.test(value?.[role])) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Writes a file that only this user can read. It is renamed into place, so it is never half written. */
export async function writePasswords(directory: string, passwords: Passwords): Promise<void> {
  const draft = `${fileIn(directory)}.new`;
  await Deno.remove(draft).catch(() => {});
  await Deno.writeTextFile(draft, JSON.stringify(passwords, null, 2) + "\n", { mode: 0o600 });
  await Deno.rename(draft, fileIn(directory));
}

function fileIn(directory: string): string {
  return join(directory, "credentials.json");
}
