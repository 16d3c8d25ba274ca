import type { Env } from "../support/branch.ts";

/** What is asked of everybody. Each unit is one transaction, except where its way says otherwise. */
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
  /** For `src/settings/settings.ts`; what else is needed is in there too. */
  readonly env: Env;
  readonly connections: number;
  /** Of the user that is read. */
  readonly knownId: string;
}

/** A user that nobody has yet. */
export function newUser(): { id: string; email: string; name: string } {
  const id = crypto.randomUUID();
  return { id, email: `${id}@example.org`, name: "Ann" };
}
