import { join } from "node:path";

/** Superuser, owner of the schema, the service's own role, and the service's role under SCRAM. */
export const roles = [
  "postgres",
  "user_service_owner",
  "user_service",
  "user_service_scram",
] as const;

export type PostgresRole = typeof roles[number];

export type Passwords = Readonly<Record<PostgresRole, string>>;

/** One random password a role. */
export function makePasswords(): Passwords {
  const entries = roles.map((role) => [role, crypto.randomUUID().replaceAll("-", "")]);
  return Object.freeze(Object.fromEntries(entries));
}

/** The passwords kept in `directory`, or undefined when they are missing or damaged. */
export async function readPasswords(directory: string): Promise<Passwords | undefined> {
  try {
    const value = JSON.parse(await Deno.readTextFile(fileIn(directory)));
    // Only what makePasswords makes: they go into SQL and URLs as they are.
    return roles.every((role) => /^[0-9a-f]{32}$/.test(value?.[role])) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Readable by this user only, and never half written. */
export async function writePasswords(directory: string, passwords: Passwords): Promise<void> {
  const draft = `${fileIn(directory)}.new`;
  await Deno.remove(draft).catch(() => {});
  await Deno.writeTextFile(draft, JSON.stringify(passwords, null, 2) + "\n", { mode: 0o600 });
  await Deno.rename(draft, fileIn(directory));
}

function fileIn(directory: string): string {
  return join(directory, "credentials.json");
}
