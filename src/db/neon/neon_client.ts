/**
 * Types of the package's client as this folder uses it, which the package's own declarations leave out, and the
 * conversion of what the package reports into this layer's errors.
 */
import { ServerError } from "../errors.ts";
import type { Notice } from "../driver/driver.ts";
import type { FlightQuery } from "./neon_query.ts";

/** A missing severity becomes ERROR, and a missing SQLSTATE XX000, internal_error. */
export function toServerError(message: ErrorMessage): ServerError {
  return new ServerError({
    message: message.message ?? "the server gave no reason",
    severity: message.severity ?? "ERROR",
    sqlState: message.code ?? "XX000",
    detail: message.detail,
    hint: message.hint,
    schema: message.schema,
    table: message.table,
    column: message.column,
    constraint: message.constraint,
    dataType: message.dataType,
    position: message.position,
    internalQuery: message.internalQuery,
    internalPosition: message.internalPosition,
    where: message.where,
    routine: message.routine,
  });
}

/** Makes an `Error` of a rejection. The package also rejects with an `ErrorEvent`, which is not an `Error`. */
export function toError(reason: unknown): Error {
  if (reason instanceof Error) return reason;
  const event = reason as { message?: unknown; error?: unknown } | null | undefined;
  const message = typeof event?.message === "string" && event.message !== ""
    ? event.message
    : "the WebSocket failed without a reason";
  return new Error(message, { cause: event?.error });
}

/** The runtime's WebSocket class, or a library's class with the same interface. */
export type WebSocketConstructor = new (url: string) => unknown;

/** The fields of an ErrorResponse: https://www.postgresql.org/docs/current/protocol-error-fields.html */
export interface ErrorMessage {
  readonly message?: string;
  readonly severity?: string;
  readonly code?: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
  readonly dataType?: string;
  readonly position?: string;
  readonly internalPosition?: string;
  readonly internalQuery?: string;
  readonly where?: string;
  readonly routine?: string;
}

/** The package's socket. */
export interface WireStream {
  /** `terminate` closes without waiting for the peer. A standard WebSocket does not have it. */
  readonly ws?: { readonly readyState: number; terminate?(): void } | null;
  emit(event: string, ...args: unknown[]): boolean;
  write(bytes: Uint8Array, ...callback: unknown[]): boolean;
  destroy(): void;
}

/** The package's protocol layer, `client.connection`: writes the messages to the server and emits those from it. */
export interface Wire {
  readonly stream: WireStream;
  connect(port: number, host: string): void;
  parse(statement: { text: string }): void;
  bind(portal: { values: (string | null)[]; portal: string }): void;
  describe(target: { type: "P"; name: string }): void;
  execute(portal: { portal: string; rows: number }): void;
  close(target: { type: "P"; name: string }): void;
  flush(): void;
  sync(): void;
  sendCopyFail(reason: string): void;
  cancel(processId: number, secretKey: number): void;
  end(): void;
  on(event: "readyForQuery", listener: (message: { status: string }) => void): void;
  on(event: "errorMessage", listener: (message: ErrorMessage) => void): void;
  on(event: "notice", listener: (message: Notice) => void): void;
  on(event: "error", listener: (error: unknown) => void): void;
  on(
    event: "parseComplete" | "closeComplete" | "connect" | "end",
    listener: () => void,
  ): void;
}

/** The package's client. */
export interface NeonClient {
  readonly connection: Wire;
  readonly host: string;
  readonly port: number;
  readonly processID: number | null;
  readonly secretKey: number | null;
  readonly neonConfig: {
    pipelineConnect: "password" | false;
    coalesceWrites: boolean;
    disableWarningInBrowsers: boolean;
    useSecureWebSocket: boolean;
    webSocketConstructor: WebSocketConstructor | undefined;
    wsProxy: (host: string, port: number) => string;
  };
  _handleAuthSASLContinue(message: unknown): Promise<void>;
  connect(): Promise<void>;
  query(query: FlightQuery): void;
  on(event: "error", listener: (error: unknown) => void): void;
}
