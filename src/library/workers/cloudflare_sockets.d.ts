/** The part of the Workers runtime's TCP sockets that is used. https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/ */
declare module "cloudflare:sockets" {
  export interface Socket {
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
    readonly opened: Promise<unknown>;
    /** Only on a socket that was opened with `starttls`. The old socket's streams must not be locked. */
    startTls(): Socket;
    close(): Promise<void>;
  }

  export function connect(
    address: { hostname: string; port: number },
    options: { secureTransport: "off" | "starttls" },
  ): Socket;
}
