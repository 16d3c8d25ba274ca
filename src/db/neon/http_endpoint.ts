/**
 * Neon's SQL endpoint: a whole transaction by one HTTP request, with no socket of ours and no login. The endpoint opens
 * the transaction itself, by the modes of the flight's BEGIN, and commits it.
 *
 * The request is that of the package's `neon().transaction()`, which reads the URL four times for each: that and its copies
 * of the rows were a twelfth of the CPU time of a Worker's read. Headers, answers and errors are those that the proxy gives
 * and takes: https://github.com/neondatabase/neon/blob/main/proxy/src/serverless/sql_over_http.rs
 *
 * Its limits are those of Neon's proxy, which the answer to a refused request names: 10 MiB for a request, 10 MiB for an
 * answer, and 15 s to connect. https://github.com/neondatabase/neon/blob/main/proxy/src/binary/proxy.rs
 */
import { neonConfig } from "@neondatabase/serverless";
import type {
  Connection,
  ConnectionState,
  Endpoint,
  FlightAnswer,
  FlightOptions,
  FlightPart,
  Result,
  Statement,
  TransactionModes,
} from "../driver/driver.ts";
import { parserOf } from "../driver/result_types.ts";
import {
  ConnectError,
  ConnectionLostError,
  ServerError,
  type ServerErrorFields,
} from "../errors.ts";
import { RowReader } from "./row_reader.ts";

/** Where a database is, and how to log in. */
export interface HttpEndpointOptions {
  /** `postgresql://user:password@host:port/database`. */
  readonly url: string;
  /** The endpoint's address, for a database that is not Neon's. Without it, that of Neon for the host of `url`. */
  readonly endpoint?: string | undefined;
}

const ISOLATION_LEVELS = {
  "read committed": "ReadCommitted",
  "repeatable read": "RepeatableRead",
  "serializable": "Serializable",
} as const;

/** What is the same for all requests. */
interface Address {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Makes connections that hold nothing. */
export class HttpEndpoint implements Endpoint {
  readonly #address: Address;

  /** Sends nothing. */
  constructor({ url, endpoint = neonEndpointOf(url) }: HttpEndpointOptions) {
    const headers = {
      "Neon-Connection-String": url,
      // Every value stays the text that the server sent, for this layer's own parsers.
      "Neon-Raw-Text-Output": "true",
      "Neon-Array-Mode": "true",
    };
    this.#address = { endpoint, headers };
  }

  /** A connection for one transaction, which is one flight with BEGIN and COMMIT. */
  connect(): Connection {
    return new HttpConnection(this.#address);
  }
}

/** As the package knows it. */
function neonEndpointOf(url: string): string {
  const { hostname, port } = new URL(url);
  const { fetchEndpoint } = neonConfig;
  return typeof fetchEndpoint === "function" ? fetchEndpoint(hostname, port) : fetchEndpoint;
}

class HttpConnection implements Connection {
  readonly #address: Address;
  readonly #closed = Promise.withResolvers<undefined>();
  readonly #abort = new AbortController();
  state: ConnectionState = "idle";
  readonly status = "I";
  readonly processId = undefined;
  readonly isDirect = false;
  readonly ready = Promise.resolve();
  readonly closed = this.#closed.promise;

  constructor(address: Address) {
    this.#address = address;
  }

  async flight(
    parts: readonly FlightPart[],
    { parsers }: FlightOptions = {},
  ): Promise<FlightAnswer> {
    const [begin, ...statements] = parts as readonly Statement[];
    statements.pop();
    this.state = "busy";
    try {
      const answers = await this.#send(statements, begin!.modes!);
      const results = answers.map((answer, index) => resultOf(answer, statements[index]!, parsers));
      const error = results.find(({ decodeError }) => decodeError !== undefined)?.decodeError;
      return {
        results: [NO_ROWS("BEGIN"), ...results, NO_ROWS("COMMIT")],
        status: "I",
        ...(error === undefined ? {} : { error }),
      };
    } catch (error) {
      const said = serverErrorOf(error);
      if (said?.severity === "ERROR") {
        return { results: [], status: "I", error: said, isUnlocated: true };
      }
      if (said !== undefined && isLoginRefusal(said)) {
        throw new ConnectError("Cannot connect to PostgreSQL: the login was refused", {
          cause: said,
        });
      }
      throw new ConnectionLostError(
        "Cannot run the statements: the endpoint gave no answer of the server",
        { begun: true, cause: said ?? error },
      );
    } finally {
      this.state = "closed";
      this.#closed.resolve(undefined);
    }
  }

  /** Throws `Refusal` for an answer that is no result, and what `fetch` throws. */
  async #send(statements: readonly Statement[], modes: TransactionModes): Promise<Answer[]> {
    const { endpoint, headers } = this.#address;
    const queries = statements.map(({ text, values }) => ({ query: text, params: values }));
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { ...headers, ...headersOf(modes) },
      body: JSON.stringify({ queries }),
      signal: this.#abort.signal,
    });
    if (!response.ok) throw await refusalOf(response);
    const { results } = await response.json() as { results: Answer[] };
    return results;
  }

  /** The endpoint stops the statements of a request that is gone. */
  cancel(): Promise<void> {
    this.#abort.abort();
    return Promise.resolve();
  }

  close(): Promise<void> {
    // To abort a request that is answered costs workerd 30 µs.
    return this.state === "closed" ? Promise.resolve() : this.cancel();
  }
}

function headersOf(
  { isolation, readOnly = false, deferrable }: TransactionModes,
): Record<string, string> {
  return {
    "Neon-Batch-Isolation-Level": ISOLATION_LEVELS[isolation],
    "Neon-Batch-Read-Only": String(readOnly),
    "Neon-Batch-Deferrable": String(deferrable),
  };
}

/** The result of one statement. */
interface Answer {
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[];
  readonly rows: readonly (readonly (string | null)[])[];
  readonly command: string;
  readonly rowCount: number | null;
}

const NO_ROWS = (command: string): Result => ({ rows: [], rowCount: 0, command });

function resultOf(
  { fields, rows, command, rowCount }: Answer,
  { isStatic, rowMode, parsers: own }: Statement,
  parsers: FlightOptions["parsers"],
): Result {
  // Texts by position, as the answer has them.
  if (isStatic) {
    return { command, rowCount: rowCount ?? 0, rows: rows as unknown as Result["rows"] };
  }
  const columns = fields.map(({ name, dataTypeID: typeId }) => ({ name, typeId }));
  const reader = new RowReader(columns, (typeId) => parsers?.[typeId] ?? parserOf(typeId), {
    rowMode,
    parsers: own,
  });
  const read = rows.map((texts) => reader.readTexts(texts)) as Result["rows"];
  const decodeError = reader.takeError();
  const result = { command, rowCount: rowCount ?? 0, columns, rows: read };
  return decodeError === undefined ? result : { ...result, decodeError };
}

/** Why the proxy itself gave the request no connection. Its own errors have no SQLSTATE. */
const PROXY_REFUSAL =
  /^(?:password authentication failed|control plane request failed|couldn't connect to compute node|failed to acquire permit|too many connection)/i;

const PROXY_LIMIT = /(?:request|response) is too large \(max is \d+ bytes\)/;

/** What the endpoint answers in place of results. `code` is the SQLSTATE of an error of the server's. */
interface Refused extends Omit<ServerErrorFields, "sqlState" | "severity"> {
  readonly code?: string;
  readonly severity?: string;
}

/** The endpoint gave no results. */
class Refusal extends Error {
  readonly said: Refused;

  constructor(said: Refused) {
    super(said.message);
    this.said = said;
  }
}

/** With status 400 the answer is JSON, in which a field without a value is null. */
async function refusalOf(response: Response): Promise<Refusal> {
  if (response.status === 400) {
    const fields: Record<string, unknown> = await response.json();
    return new Refusal(
      Object.fromEntries(
        Object.entries(fields).filter(([, value]) => value !== null),
      ) as unknown as Refused,
    );
  }
  const message = `Server error (HTTP status ${response.status}): ${await response.text()}`;
  return new Refusal({ message });
}

/**
 * What the server said, if the endpoint passed it on: with a SQLSTATE. A refusal of the proxy's becomes what it is over a
 * WebSocket: FATAL, XX000.
 */
function serverErrorOf(error: unknown): ServerError | undefined {
  if (!(error instanceof Refusal)) return undefined;
  const { message, code, severity = "ERROR", ...fields } = error.said;
  if (code) return new ServerError({ ...fields, message, sqlState: code, severity });
  const limit = PROXY_LIMIT.exec(message)?.[0];
  // program_limit_exceeded. The proxy rolls back, and would do so each time.
  if (limit !== undefined) {
    return new ServerError({ message: limit, sqlState: "54000", severity: "ERROR" });
  }
  if (!PROXY_REFUSAL.test(message)) return undefined;
  return new ServerError({ message, sqlState: "XX000", severity: "FATAL" });
}

/** Whether it can only come before the transaction has begun: https://www.postgresql.org/docs/current/errcodes-appendix.html */
function isLoginRefusal({ sqlState, message }: ServerError): boolean {
  return /^(?:28|3D000|53300|57P03)/.test(sqlState) || PROXY_REFUSAL.test(message);
}
