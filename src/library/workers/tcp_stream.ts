/**
 * A TCP connection to PostgreSQL by the Workers runtime's sockets, in the form that the driver's client takes.
 * https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/
 */
/// <reference path="./cloudflare_sockets.d.ts" />
import type { Socket } from "cloudflare:sockets";
import type { DatabaseAddress } from "../database_address.ts";
import { Emitter } from "../emitter.ts";
import { acceptsTls, TLS_REQUEST } from "../tls_request.ts";

/**
 * Whether the connection is encrypted. The runtime checks every certificate, and that it names the host, against its own
 * authorities.
 */
export type WorkersTls = "disable" | "prefer" | "require";

/**
 * Emits `connect` once a startup message may be sent: with TLS, after the handshake. Then emits `data`, and at its end,
 * whichever side ends it, `close`, after an `error` if there was one.
 */
export class TcpStream extends Emitter {
  readonly #address: DatabaseAddress;
  readonly #tls: WorkersTls;
  #socket: Socket | undefined;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #isDestroyed = false;
  #isClosed = false;

  constructor(address: DatabaseAddress, tls: WorkersTls) {
    super();
    this.#address = address;
    this.#tls = tls;
  }

  get writable(): boolean {
    return this.#writer !== undefined;
  }

  /** The client passes a port and a host, which are those of the address. */
  connect(): this {
    this.#run().then(() => this.destroy(), (error) => this.#fail(error));
    return this;
  }

  async #run(): Promise<void> {
    const { host: hostname, port } = this.#address;
    const secureTransport = this.#tls === "disable" ? "off" : "starttls";
    // Loaded here, as only the Workers runtime has it.
    const { connect } = await import("cloudflare:sockets");
    if (this.#isDestroyed) return;
    let socket = this.#socket = connect({ hostname, port }, { secureTransport });
    await socket.opened;
    if (this.#tls !== "disable" && await this.#requestTls(socket)) {
      socket = this.#socket = socket.startTls();
      await socket.opened;
    }
    if (this.#isDestroyed) return;
    this.#writer = socket.writable.getWriter();
    this.emit("connect");
    for await (const chunk of socket.readable) this.emit("data", chunk);
  }

  async #requestTls({ readable, writable }: Socket): Promise<boolean> {
    const [writer, reader] = [writable.getWriter(), readable.getReader()];
    await writer.write(TLS_REQUEST);
    const { value: answer = new Uint8Array() } = await reader.read();
    writer.releaseLock();
    reader.releaseLock();
    return acceptsTls(answer, { mayBePlain: this.#tls === "prefer" });
  }

  write(bytes: Uint8Array, callback?: (error?: Error | null) => void): boolean {
    if (this.#writer === undefined) return false;
    this.#writer.write(bytes).then(() => callback?.(), (error) => {
      callback?.(error);
      this.#fail(error);
    });
    return true;
  }

  /** Ends in order: what was written still reaches the server, which closes the connection. */
  end(): this {
    if (this.#writer === undefined) return this.destroy();
    this.#writer.close().catch((error) => this.#fail(error));
    this.#writer = undefined;
    return this;
  }

  /**
   * Closes without waiting for the peer. `close` comes once the runtime has closed the socket: until then the request must
   * not end, as the promises of its socket would be resolved after it.
   */
  destroy(): this {
    this.#writer = undefined;
    const close = () => this.#close();
    this.#isDestroyed = true;
    if (this.#socket === undefined) close();
    else this.#socket.close().then(close, close);
    return this;
  }

  /** The client sets these options of its socket, which the runtime does not have. */
  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  #fail(error: unknown): void {
    if (this.#isDestroyed) return;
    this.emit("error", error instanceof Error ? error : new Error(String(error)));
    this.destroy();
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.emit("close");
  }
}

/** Reads `sslmode`. What the runtime cannot do is refused by `transportProblem`. */
export function workersTls(url: URL): WorkersTls {
  const mode = url.searchParams.get("sslmode") ?? "prefer";
  return mode === "disable"
    ? "disable"
    : mode === "prefer" || mode === "allow"
    ? "prefer"
    : "require";
}
