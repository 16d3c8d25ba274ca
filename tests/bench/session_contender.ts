import type { Env } from "../support/branch.ts";

/** The units that every contender does. Each is one transaction, unless the name of its way says otherwise. */
export const UNITS = ["read", "write", "three dependent statements"] as const;

export type Unit = typeof UNITS[number];

/** One way of doing a unit of work. */
export interface Way {
  readonly name: string;
  readonly unit: Unit;
  run(): Promise<unknown>;
}

export interface SessionContender {
  readonly ways: readonly Way[];
  close(): Promise<unknown>;
}

export interface Place {
  /** Settings for `src/settings/settings.ts`. Other contenders take their URLs from these. */
  readonly env: Env;
  readonly connections: number;
  /** Id of the user that is read. */
  readonly knownId: string;
}

/** A new user, with a new id and address. */
export function newUser(): { id: string; email: string; name: string } {
  const id = crypto.randomUUID();
  return { id, email: `${id}@example.org`, name: "Ann" };
}
