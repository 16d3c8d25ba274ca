/** Requests whose Host header, target or number of Host headers no HTTP library would send. */

import { TOKEN_LINE } from "../support/token.ts";

export interface HostCase {
  readonly name: string;
  /** The head without its last empty line. */
  readonly head: string;
}

const JSON_HEADERS = `${TOKEN_LINE}Content-Type: application/json`;

/** Each would create a user, if the header were taken for a part of the address. */
export const HOSTS = [
  "a/users#",
  "a/users?",
  "a/users?x=",
  "a\\users#",
  "/users#",
  "a@b/users#",
  "user:password@a",
  "a:80/users#",
  "a:99999",
  "a:x",
  "a b",
  "a%2fusers",
  "a,b",
  "[::1",
  "[::1]x",
  "[::1]/users#",
  "1.2.3.999",
  "é",
  "a\tb",
  "",
];

export const hostCases: readonly HostCase[] = [
  ...HOSTS.map((host) => ({
    name: `Host: ${JSON.stringify(host)}`,
    head: `POST /healthz HTTP/1.1\r\nHost: ${host}\r\n${JSON_HEADERS}`,
  })),
  {
    name: "two Host headers",
    head: `POST /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n${JSON_HEADERS}`,
  },
  { name: "no Host header", head: `POST /healthz HTTP/1.1\r\n${JSON_HEADERS}` },
  {
    name: "an absolute target with a bad host",
    head: `POST http://a@b/healthz HTTP/1.1\r\nHost: a\r\n${JSON_HEADERS}`,
  },
  {
    name: "a target that is no path",
    head: `POST users HTTP/1.1\r\nHost: a\r\n${JSON_HEADERS}`,
  },
  {
    name: "the token of sign-in, with a Host that is no host",
    head: "POST /ops/sign-in HTTP/1.1\r\nHost: a b\r\n" +
      "Content-Type: application/x-www-form-urlencoded",
  },
  {
    name: "the metrics, with a Host that is no host",
    head: "GET /metrics HTTP/1.1\r\nHost: ]",
  },
];

/** Hosts that are valid, and so change nothing. */
export const VALID_HOSTS = [
  "localhost",
  "example.org:8080",
  "127.0.0.1:1",
  "[::1]:8000",
  "[fe80::1]",
  "a_b.example",
  "EXAMPLE.org",
];

/** Sends the text unchanged, and returns the status of the answer; 0 if the connection was closed without one. */
export async function statusOfRaw(port: number, head: string, body = ""): Promise<number> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const length = body === "" ? "" : `Content-Length: ${new TextEncoder().encode(body).length}\r\n`;
  const bytes = new TextEncoder().encode(`${head}\r\n${length}\r\n${body}`);
  await connection.write(bytes);
  const buffer = new Uint8Array(4_096);
  const count = await connection.read(buffer);
  const answer = new TextDecoder().decode(buffer.subarray(0, count ?? 0));
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}
