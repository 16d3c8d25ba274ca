/** Requests and assertions for the cases of the users API. */

import { assert, assertEquals } from "@std/assert";

/** Sends a request to the service under test; `path` begins with a slash. */
export type SendRequest = (path: string, init?: RequestInit) => Promise<Response>;

/** Sends requests with another token. */
export function as(request: SendRequest, token: string): SendRequest {
  return (path, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set("Authorization", `Bearer ${token}`);
    return request(path, { ...init, headers });
  };
}

export interface UsersCase {
  readonly name: string;
  readonly run: (request: SendRequest) => Promise<void>;
}

export interface UserDocument {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

interface ProblemDocument {
  readonly type: string;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly requestId: string;
  readonly errors?: readonly {
    pointer?: string;
    parameter?: string;
    header?: string;
    detail: string;
  }[];
}

const JSON_HEADERS = { "Content-Type": "application/json" };

export function jsonRequest(method: string, body: unknown, headers: HeadersInit = {}): RequestInit {
  return { method, body: JSON.stringify(body), headers: { ...JSON_HEADERS, ...headers } };
}

/** The header of a key that no request has had. */
export function newKey(): Record<string, string> {
  return { "Idempotency-Key": `"${crypto.randomUUID()}"` };
}

/** An id that no user has. */
export const ABSENT_ID = "01890000-0000-7000-8000-000000000000";

export function uniqueEmail(): string {
  return `${crypto.randomUUID()}@example.com`;
}

export async function createUser(request: SendRequest, name = "Ada"): Promise<UserDocument> {
  const response = await request("/users", jsonRequest("POST", { email: uniqueEmail(), name }));
  assertEquals(response.status, 201);
  return await response.json();
}

/** Asserts that `response` is a problem document of the given kind, and returns it. */
export async function assertProblem(
  response: Response,
  status: number,
  kind: string,
): Promise<ProblemDocument> {
  const text = await response.text();
  assertEquals(response.status, status, text);
  assertEquals(response.headers.get("Content-Type"), "application/problem+json");
  const document: ProblemDocument = JSON.parse(text);
  assertEquals(document.type, `/problems/${kind}`, text);
  assertEquals(document.status, status);
  assertEquals(document.requestId, response.headers.get("X-Request-Id"));
  assert(document.detail.length > 0);
  return document;
}
