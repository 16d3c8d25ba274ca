/** The operations that every contender serves, and their requests. */

import { TOKEN_LINE } from "../../support/token.ts";

export const OPERATIONS = ["read", "create", "three", "page"] as const;

/**
 * `read`: one user by id. `create`: a transaction that inserts a user. `three`: a transaction of INSERT, SELECT of the new
 * row and UPDATE of the version that was read, each after the answer to the one before. `page`: 50 users, ordered by id.
 */
export type Operation = typeof OPERATIONS[number];

/** Only ours asks for the token. */
const HEAD = `HTTP/1.1\r\nHost: 127.0.0.1\r\n${TOKEN_LINE}`;

/**
 * Returns the bytes of a new request at each call. It reads each known user in turn, and a user that it creates has a new
 * address.
 */
export function requestsOf(
  operation: Operation,
  { knownIds }: { knownIds: readonly string[] },
): () => string {
  const get = (paths: readonly string[]) => {
    const requests = paths.map((path) => `GET ${path} ${HEAD}\r\n`);
    let next = 0;
    return () => requests[next++ % requests.length]!;
  };
  const post = (path: string) => () => {
    const body = JSON.stringify({ email: `${crypto.randomUUID()}@example.org`, name: "Ann" });
    return `POST ${path} ${HEAD}Content-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`;
  };
  switch (operation) {
    case "read":
      return get(knownIds.map((id) => `/users/${id}`));
    case "page":
      return get(["/users?limit=50"]);
    case "create":
      return post("/users");
    case "three":
      return post("/three");
  }
}
