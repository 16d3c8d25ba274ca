/**
 * `POST …/sql`: runs statements that come by HTTP, as Neon's proxy does for the driver package's `neon()`. The headers,
 * the fields of an answer and of an error, and the limits are the proxy's:
 * https://github.com/neondatabase/neon/blob/main/proxy/src/serverless/sql_over_http.rs
 *
 * Of a column it gives the name and the type alone. Values that are not text, a number, a boolean or null are refused:
 * the package sends all others as text.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  ConnectError,
  type Result,
  ServerError,
  type Statement,
  type TypeParsers,
} from "../../../db/mod.ts";
import { type OpenDatabase, openDatabase } from "../../deno/mod.ts";
import { Refusal, type RelayTarget, targetAt } from "./admission.ts";

/** `sql_over_http_max_request_size_bytes` and `…_response_size_bytes` of the published proxy. */
export const SQL_BYTES_MAX = 10 * 1024 * 1024;

/** `sql_over_http_timeout` of the published proxy: the longest time to connect. */
const CONNECT_TIMEOUT_MS = 15_000;

const ISOLATION_LEVELS: Readonly<Record<string, string>> = {
  Serializable: "serializable",
  ReadUncommitted: "read uncommitted",
  ReadCommitted: "read committed",
  RepeatableRead: "repeatable read",
};

/** Every value stays the text that the server sent. */
const AS_TEXT: TypeParsers = new Proxy({}, { get: () => (text: string) => text });

interface Query {
  readonly query: string;
  readonly params: readonly unknown[];
}

/** Answers requests with the databases that they name, and keeps their connections for the next request. */
export class SqlEndpoint implements AsyncDisposable {
  readonly #targets: readonly RelayTarget[];
  readonly #databases = new Map<string, OpenDatabase>();

  constructor({ targets }: { targets: readonly RelayTarget[] }) {
    this.#targets = targets;
  }

  /** Never rejects. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    let [status, body] = [200, ""];
    try {
      body = JSON.stringify(await this.#run(request, gone.signal));
      if (body.length > SQL_BYTES_MAX) throw tooLarge("response", 507);
    } catch (error) {
      [status, body] = failureOf(error);
    }
    response.writeHead(status, { "content-type": "application/json" });
    response.end(body);
  }

  async #run(request: IncomingMessage, signal: AbortSignal): Promise<unknown> {
    const { headers } = request;
    const database = this.#database(String(headers["neon-connection-string"] ?? ""));
    if (headers["neon-raw-text-output"] !== "true" || headers["neon-array-mode"] !== "true") {
      throw new Refusal(400, "the relay gives texts in arrays only, as the package asks for them");
    }
    const payload = parsed(await textOf(request));
    await using connection = await database.connect({ signal });
    if (!("queries" in payload)) {
      const [result] = await connection.run([statementOf(payload)]);
      return answerOf(result!);
    }
    const { queries } = payload;
    const results = await connection.run([
      { text: beginOf(headers), values: [] },
      ...queries.map(statementOf),
      { text: "commit", values: [] },
    ]);
    return { results: results.slice(1, -1).map(answerOf) };
  }

  #database(connectionString: string): OpenDatabase {
    let database = this.#databases.get(connectionString);
    if (database !== undefined) return database;
    const url = URL.parse(connectionString);
    if (url === null) throw new Refusal(400, "Neon-Connection-String is no URL");
    targetAt(`${url.hostname}:${url.port || 5432}`, this.#targets);
    url.search = "";
    database = openDatabase({
      url: url.href,
      transport: "tcp",
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      // `sql_over_http_pool_max_conns_per_endpoint` of the published proxy. Its idle timeout of 5 minutes is left out: a
      // relay ends with the tests of its file.
      pool: { size: 20, maxOverflow: 80, idleTimeoutMs: Infinity, recycleMs: Infinity },
    });
    this.#databases.set(connectionString, database);
    return database;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [...this.#databases.values()].map((database) => database.close({ timeoutMs: 0 })),
    );
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    if ((size += chunk.length) > SQL_BYTES_MAX) throw tooLarge("request", 400);
    chunks.push(chunk);
  }
  return await new Blob(chunks as BlobPart[]).text();
}

function parsed(text: string): Query | { queries: readonly Query[] } {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Refusal(400, `the body is not JSON: ${(error as Error).message}`);
  }
}

function beginOf(headers: IncomingMessage["headers"]): string {
  const level = headers["neon-batch-isolation-level"];
  const modes: string[] = [];
  if (level !== undefined) {
    const name = ISOLATION_LEVELS[String(level)];
    if (name === undefined) throw new Refusal(400, "invalid isolation level");
    modes.push(`isolation level ${name}`);
  }
  if (headers["neon-batch-read-only"] === "true") modes.push("read only");
  if (headers["neon-batch-deferrable"] === "true") modes.push("deferrable");
  return `begin ${modes.join(", ")}`;
}

function statementOf({ query: text, params = [] }: Query): Statement {
  const values = params.map((value) => {
    if (value === null || typeof value === "string") return value;
    if (typeof value === "number" || typeof value === "boolean") return String(value);
    throw new Refusal(400, "the relay takes only texts, numbers, booleans and null as parameters");
  });
  return { text, values, rowMode: "array", parsers: AS_TEXT };
}

function answerOf({ columns = [], rows, command, rowCount }: Result) {
  return {
    rowAsArray: true,
    fields: columns.map(({ name, typeId }) => ({ name, dataTypeID: typeId, format: "text" })),
    rows,
    command,
    rowCount,
  };
}

function tooLarge(what: "request" | "response", status: number): Refusal {
  return new Refusal(status, `${what} is too large (max is ${SQL_BYTES_MAX} bytes)`);
}

/** The proxy answers every error of the server with 400, and its own with 500. */
function failureOf(error: unknown): [status: number, body: string] {
  if (error instanceof Refusal) return [error.status, JSON.stringify({ message: error.text })];
  const cause = error instanceof ConnectError ? error.cause : error;
  if (!(cause instanceof ServerError)) {
    const { message } = error instanceof Error ? error : new Error(String(error));
    return [500, JSON.stringify({ message })];
  }
  const { name: _, sqlState: code, message, ...fields } = cause;
  return [400, JSON.stringify({ ...fields, message, code })];
}
