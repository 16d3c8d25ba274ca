/** Requests that only a raw socket can send, because `new Request` refuses to create them. */

import { assert } from "@std/assert";
import { untouchedDatabase } from "./fake_database.ts";
import { createApp } from "../../src/http/app.ts";
import { TOKEN_LINE } from "../support/token.ts";
import { authenticator } from "./test_app.ts";

/** Sends `text` to the service unchanged, and returns the response. */
async function answerTo(text: string): Promise<string> {
  const app = createApp({ db: untouchedDatabase, authenticator });
  const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
  await using server = Deno.serve(options, app.fetch);
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
  await connection.write(new TextEncoder().encode(text));
  let answer = "";
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(4_096);
  while (!answer.includes("\r\n\r\n") || !answer.trimEnd().endsWith("}")) {
    const length = await connection.read(buffer);
    if (length === null) break;
    answer += decoder.decode(buffer.subarray(0, length), { stream: true });
  }
  return answer;
}

function assertStatus(answer: string, status: number, kind: string): void {
  assert(answer.startsWith(`HTTP/1.1 ${status} `), answer);
  assert(answer.includes(`"/problems/${kind}"`), answer);
}

Deno.test("the query is read even if the Host header is not a host", async () => {
  const answer = await answerTo(
    `GET /users?limit=0 HTTP/1.1\r\nHost: no host\r\n${TOKEN_LINE}\r\n`,
  );
  assertStatus(answer, 400, "malformed-request");
});

Deno.test("a body whose declared length is far too large is refused before it is sent", async () => {
  const head = `POST /users HTTP/1.1\r\nHost: x\r\n${TOKEN_LINE}Content-Type: application/json\r\n`;
  assertStatus(await answerTo(`${head}Content-Length: 1048577\r\n\r\n`), 413, "body-too-large");
});

Deno.test("a TRACE request is refused with 405", async () => {
  const answer = await answerTo(`TRACE /users HTTP/1.1\r\nHost: x\r\n${TOKEN_LINE}\r\n`);
  assertStatus(answer, 405, "method-not-allowed");
});
