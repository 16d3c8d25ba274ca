/** The relay's `POST …/sql`, as Neon's proxy answers it. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { localDatabase } from "../../../support/local_database.ts";
import { ownRelay } from "../../../support/own_relay.ts";

const database = await localDatabase();

const RAW = { "neon-raw-text-output": "true", "neon-array-mode": "true" };

interface Sent {
  readonly body: unknown;
  readonly headers?: Record<string, string>;
  readonly path?: string;
}

/** Sends one request to a relay of its own. */
async function answerTo(
  { body, headers = {}, path = "/sql" }: Sent,
): Promise<{ status: number; answer: Record<string, unknown> }> {
  await using branch = await database.connect();
  await using relay = await ownRelay(branch.env);
  const response = await fetch(`${relay.url.replace("ws:", "http:")}${path}`, {
    method: "POST",
    headers: { ...RAW, "neon-connection-string": branch.env["DATABASE_URL"]!, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  const answer = text.startsWith("{") ? JSON.parse(text) : { message: text };
  return { status: response.status, answer };
}

Deno.test("/sql runs one statement outside a transaction, and gives texts", async () => {
  const { status, answer } = await answerTo({
    body: { query: "select $1::int as n, null as nothing, true as t", params: [7] },
  });
  assertEquals(status, 200);
  assertEquals(answer, {
    rowAsArray: true,
    fields: [
      { name: "n", dataTypeID: 23, format: "text" },
      { name: "nothing", dataTypeID: 25, format: "text" },
      { name: "t", dataTypeID: 16, format: "text" },
    ],
    rows: [["7", null, "t"]],
    command: "SELECT",
    rowCount: 1,
  });
});

Deno.test("/sql runs a batch in one transaction of the modes that the headers ask for", async () => {
  const { answer } = await answerTo({
    body: {
      queries: [
        {
          query:
            "select current_setting('transaction_isolation'), current_setting('transaction_read_only')",
        },
        { query: "select current_setting('transaction_deferrable')" },
      ],
    },
    headers: {
      "neon-batch-isolation-level": "Serializable",
      "neon-batch-read-only": "true",
      "neon-batch-deferrable": "true",
    },
  });
  const results = answer["results"] as { rows: string[][] }[];
  assertEquals(results.map(({ rows }) => rows), [[["serializable", "on"]], [["on"]]]);
});

Deno.test("/sql undoes a batch whose statement fails, and gives the server's fields", async () => {
  const { status, answer } = await answerTo({
    body: {
      queries: [{ query: "create temporary table gone (n int)" }, { query: "select 1/0" }],
    },
  });
  const { message, code, severity, routine } = answer;
  assertEquals({ status, message, code, severity, routine }, {
    status: 400,
    message: "division by zero",
    code: "22012",
    severity: "ERROR",
    routine: "int4div",
  });
});

const REFUSED: Readonly<Record<string, [Sent, status: number, text: string]>> = {
  "a web page": [{ body: {}, headers: { origin: "https://example.org" } }, 403, "Origin"],
  "another path": [{ body: {}, path: "/sq" }, 404, "another path"],
  "another server": [
    { body: {}, headers: { "neon-connection-string": "postgresql://a:b@127.0.0.1:1/c" } },
    403,
    "the relay serves only",
  ],
  "no address": [{ body: {}, headers: { "neon-connection-string": "x" } }, 400, "no URL"],
  "what is no JSON": [{ body: "{" }, 400, "not JSON"],
  "an unknown isolation level": [
    { body: { queries: [] }, headers: { "neon-batch-isolation-level": "Chaos" } },
    400,
    "invalid isolation level",
  ],
  "parsed values": [{ body: {}, headers: { "neon-raw-text-output": "false" } }, 400, "texts"],
  "an array as a parameter": [
    { body: { query: "select $1::int[]", params: [[1]] } },
    400,
    "only texts",
  ],
  "a request of more than 10 MiB": [
    { body: { query: `select '${"x".repeat(10 * 1024 * 1024)}'` } },
    400,
    "request is too large",
  ],
  "an answer of more than 10 MiB": [
    { body: { query: "select repeat('x', 10485760)" } },
    507,
    "response is too large",
  ],
};

for (const [name, [sent, status, text]] of Object.entries(REFUSED)) {
  Deno.test(`/sql refuses ${name}`, async () => {
    const refused = await answerTo(sent);
    assertEquals(refused.status, status);
    assertStringIncludes(String(refused.answer["message"]), text);
  });
}
