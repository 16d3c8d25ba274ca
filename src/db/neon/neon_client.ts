/**
 * Types of the package's client as this folder uses it, which the package's own declarations leave out, and the
 * conversion of what the package reports into this layer's errors.
 */

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

/** The package's socket, or a stream in its place, which then also has the methods of Node's `Socket` that the package calls. */
export interface WireStream {
  /** `terminate` closes without waiting for the peer. A standard WebSocket does not have it. */
  readonly ws?: { readonly readyState: number; terminate?(): void } | null;
  emit(event: string, ...args: unknown[]): boolean;
  write(bytes: Uint8Array, ...callback: unknown[]): boolean;
  destroy(): void;
  /**
   * With TLS: what the server's certificate gives for SCRAM's channel binding `tls-server-end-point`, if that is known:
   * https://www.rfc-editor.org/rfc/rfc5929#section-4.1
   */
  certificateHash?(): Uint8Array | undefined;
}

/** The package's protocol layer, `client.connection`: logs in, and reports what happens to the socket. */
export interface Wire {
  readonly stream: WireStream;
  connect(port: number, host: string): void;
  cancel(processId: number, secretKey: number): void;
  sendSASLInitialResponseMessage(mechanism: string, response: string): void;
  sendSCRAMClientFinalMessage(response: string): void;
  end(): void;
  on(event: "error", listener: (error: unknown) => void): void;
  on(event: "connect" | "end", listener: () => void): void;
}

/** The package's client. */
export interface NeonClient {
  readonly connection: Wire;
  readonly host: string;
  readonly port: number;
  readonly processID: number | null;
  readonly secretKey: number | null;
  /** Properties of the stream. */
  readonly neonConfig: {
    pipelineConnect: "password" | false;
    coalesceWrites: boolean;
    disableWarningInBrowsers: boolean;
    useSecureWebSocket: boolean;
    webSocketConstructor: WebSocketConstructor | undefined;
    wsProxy: (host: string, port: number) => string;
  };
  password: string | null;
  getStartupConf(): Readonly<Record<string, string>>;
  _handleAuthSASL(message: { readonly mechanisms: readonly string[] }): void;
  _handleAuthSASLContinue(message: { readonly data: string }): Promise<void>;
  _handleAuthSASLFinal(message: { readonly data: string }): void;
  connect(): Promise<void>;
  on(event: "error", listener: (error: unknown) => void): void;
}
