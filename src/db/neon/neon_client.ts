/**
 * The package's client as it is used here: the parts that its own declarations leave out, and what it reports, as our
 * errors.
 */
import { ServerError } from "../errors.ts";
import type { FlightQuery } from "./neon_query.ts";

/** Fields that the server left out get the values that say least. */
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
  });
}

/** The package also rejects with `ErrorEvent`s, which are not `Error`s. */
export function toError(reason: unknown): Error {
  if (reason instanceof Error) return reason;
  const event = reason as { message?: unknown; error?: unknown } | null | undefined;
  const message = typeof event?.message === "string" && event.message !== ""
    ? event.message
    : "the WebSocket failed without a reason";
  return new Error(message, { cause: event?.error });
}

/** The runtime's WebSocket, or a library's with the same interface. */
export type WebSocketConstructor = new (url: string) => unknown;

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
}

export interface WireStream {
  /** The standard's WebSocket has no `terminate`, which closes without waiting for the peer. */
  readonly ws?: { readonly readyState: number; terminate?(): void } | null;
  emit(event: string, ...args: unknown[]): boolean;
  write(bytes: Uint8Array, ...callback: unknown[]): boolean;
  destroy(): void;
}

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
  on(event: "notice", listener: (message: { code?: string }) => void): void;
  on(event: "error", listener: (error: unknown) => void): void;
  on(
    event: "parseComplete" | "closeComplete" | "connect" | "end",
    listener: () => void,
  ): void;
}

/** The package's client, as far as it is used here. */
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
