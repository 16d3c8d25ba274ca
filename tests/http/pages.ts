/** Reads lists of users, for the cases of the users API. */

import { assert, assertEquals } from "@std/assert";
import type { SendRequest, UserDocument } from "./requests.ts";

export interface UserPage {
  readonly users: readonly UserDocument[];
  readonly next: string | null;
}

/** Parameters of `GET /users`. One that is null is left out. */
export type ListParameters = Readonly<Record<string, string | number | null>>;

export function listPath(parameters: ListParameters): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== null);
  return `/users?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

export async function page(
  request: SendRequest,
  parameters: ListParameters = {},
): Promise<UserPage> {
  const response = await request(listPath(parameters));
  const text = await response.text();
  assertEquals(response.status, 200, text);
  return JSON.parse(text);
}

/** All pages of a list; `between` runs after each. */
export async function allPages(
  request: SendRequest,
  parameters: ListParameters,
  { from = null, between = () => Promise.resolve() }: {
    readonly from?: string | null;
    readonly between?: (seen: readonly UserDocument[]) => Promise<void>;
  } = {},
): Promise<UserDocument[]> {
  const seen: UserDocument[] = [];
  let cursor = from;
  do {
    const { users, next }: UserPage = await page(request, { ...parameters, cursor });
    assert(users.length <= Number(parameters["limit"] ?? 50));
    seen.push(...users);
    cursor = next;
    await between(seen);
  } while (cursor !== null);
  return seen;
}

export const ids = (users: readonly UserDocument[]) => users.map(({ id }) => id);
