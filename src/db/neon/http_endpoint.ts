/**
 * Neon's SQL endpoint: a whole transaction by one HTTP request, with no socket of ours and no login. The package's
 * `neon()` sends it. The endpoint opens the transaction itself, by the modes of the flight's BEGIN, and commits it.
 *
 * Its limits are those of Neon's proxy, which the answer to a refused request names: 10 MiB for a request, 10 MiB for an
 * answer, and 15 s to connect. https://github.com/neondatabase/neon/blob/main/proxy/src/binary/proxy.rs
 */
import { neon, neonConfig, NeonDbError } from "@neondatabase/serverless";
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
import { ConnectError, ConnectionLostError, ServerError } from "../errors.ts";
import { RowReader } from "./row_reader.ts";

/** Where a database is, and how to log in. */
export interface HttpEndpointOptions {
  /** `postgresql://user:password@host:port/database`. */
  readonly url: string;
  /** The endpoint's address, for a database that is not Neon's. Without it, that of Neon for the host of `url`. */
  readonly endpoint?: string | undefined;
}

/** Every value stays the text that the server sent, for this layer's own parsers. */
const AS_TEXT = { getTypeParser: () => (text: string) => text };

const ISOLATION_LEVELS = {
  "read committed": "ReadCommitted",
  "repeatable read": "RepeatableRead",
  "serializable": "Serializable",
} as const;

type NeonSql = ReturnType<typeof neon<true, true>>;

/** Makes connections that hold nothing. */
export class HttpEndpoint implements Endpoint {
  readonly #sql: NeonSql;

  /** Sends nothing. */
  constructor({ url, endpoint }: HttpEndpointOptions) {
    const fetchOptions: RoutedInit = endpoint === undefined ? {} : { endpoint };
    this.#sql = neon(url, {
      arrayMode: true,
      fullResults: true,
      disableWarningInBrowsers: true,
      fetchOptions,
    });
    if (endpoint !== undefined) routeRequests();
  }

  /** A connection for one transaction, which is one flight with BEGIN and COMMIT. */
  connect(): Connection {
    return new HttpConnection(this.#sql);
  }
}

/** A request that says where it goes, beside the options of `fetch`. */
type RoutedInit = RequestInit & { readonly endpoint?: string };

let isRouting = false;

/**
 * The package has one setting for the endpoints of a whole process, by host alone. It passes its options on to the function
 * that fetches, so that each request can name its own.
 */
function routeRequests(): void {
  if (isRouting) return;
  isRouting = true;
  const former = neonConfig.fetchFunction as typeof fetch | undefined;
  neonConfig.fetchFunction = (url: string, { endpoint, ...init }: RoutedInit) =>
    (former ?? fetch)(endpoint ?? url, init);
}

class HttpConnection implements Connection {
  readonly #sql: NeonSql;
  readonly #closed = Promise.withResolvers<undefined>();
  readonly #abort = new AbortController();
  state: ConnectionState = "idle";
  readonly status = "I";
  readonly processId = undefined;
  readonly isDirect = false;
  readonly ready = Promise.resolve();
  readonly closed = this.#closed.promise;

  constructor(sql: NeonSql) {
    this.#sql = sql;
  }

  async flight(
    parts: readonly FlightPart[],
    { parsers }: FlightOptions = {},
  ): Promise<FlightAnswer> {
    const [begin, ...statements] = parts as readonly Statement[];
    statements.pop();
    this.state = "busy";
    try {
      const answers = await this.#sql.transaction(
        statements.map(({ text, values }) =>
          this.#sql.query(text, values as unknown[], { types: AS_TEXT as never })
        ),
        { ...modesOf(begin!.modes!), fetchOptions: { signal: this.#abort.signal } },
      );
      const results = answers.map((answer, index) =>
        resultOf(answer as unknown as Answer, statements[index]!, parsers)
      );
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

function modesOf({ isolation, readOnly, deferrable }: TransactionModes) {
  return {
    isolationLevel: ISOLATION_LEVELS[isolation],
    readOnly: readOnly ?? false,
    deferrable,
  } as const;
}

/** As the package gives it with `fullResults` and `arrayMode`. */
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
  // The statement behind BEGIN, whose rows have no reader.
  if (isStatic) return NO_ROWS(command);
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

/**
 * What the server said, if the endpoint passed it on: with a SQLSTATE. A refusal of the proxy's becomes what it is over a
 * WebSocket: FATAL, XX000.
 */
function serverErrorOf(error: unknown): ServerError | undefined {
  if (!(error instanceof NeonDbError)) return undefined;
  const { message, code, severity = "ERROR", ...fields } = error;
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
