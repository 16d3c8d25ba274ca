/** A TCP connection to PostgreSQL, with TLS if the URL asks for it, in the form that the driver's client takes. */
import { EventEmitter } from "node:events";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { DatabaseAddress } from "../database_address.ts";
import { acceptsTls, TLS_REQUEST } from "../tls_request.ts";
import { certificateHash } from "./certificate_hash.ts";
import type { TlsSettings } from "./tls_settings.ts";

/**
 * Emits `connect` once a startup message may be sent: with TLS, after the handshake. Then emits `data`, and at its end,
 * whichever side ends it, `close`, after an `error` if there was one. It never pauses: what it emits is read at once, and
 * the layer asks for as many rows as it keeps.
 */
export class TcpStream extends EventEmitter {
  readonly #address: DatabaseAddress;
  readonly #tls: TlsSettings;
  /** The TCP socket, and TLS on top of it. */
  readonly #sockets: Socket[] = [];
  /** What is read and written; undefined until `connect` and after `close`. */
  #open: Socket | undefined;
  #secured: TLSSocket | undefined;
  #isClosed = false;

  constructor(address: DatabaseAddress, tls: TlsSettings) {
    super();
    this.#address = address;
    this.#tls = tls;
  }

  get writable(): boolean {
    return this.#open?.writable ?? false;
  }

  /** The client passes a port and a host, which are those of the address or mean nothing for a Unix socket. */
  connect(): this {
    try {
      const socket = this.#dial();
      this.#use(socket);
      socket.once("connect", () => {
        if (this.#tls.mode === "disable") this.#start(socket);
        else this.#requestTls(socket);
      });
    } catch (error) {
      // Without the permission for a Unix socket. The client listens only after this call.
      queueMicrotask(() => this.#fail(error));
    }
    return this;
  }

  #dial(): Socket {
    const { host, port, socketPath } = this.#address;
    if (socketPath !== undefined) return connect({ path: socketPath });
    // Without delay: Nagle's algorithm would hold a small message back until the one before it is acknowledged.
    return connect({ port, host, noDelay: true, keepAlive: true });
  }

  write(bytes: Uint8Array, callback?: (error?: Error | null) => void): boolean {
    return this.#open?.write(bytes, callback) ?? false;
  }

  /** Ends in order: what was written still reaches the server, which closes the connection. */
  end(): this {
    if (this.#open === undefined) return this.destroy();
    this.#open.end();
    return this;
  }

  /** Closes at once, without waiting for the peer. */
  destroy(): this {
    for (const socket of this.#sockets) socket.destroy();
    return this;
  }

  /** See `WireStream`. */
  certificateHash(): Uint8Array | undefined {
    const raw = this.#secured?.getPeerCertificate().raw;
    return raw === undefined ? undefined : certificateHash(raw);
  }

  /** The client sets these options of its socket, which `connect` has set. */
  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  #requestTls(socket: Socket): void {
    const { mode, verifies } = this.#tls;
    socket.once("data", (answer: Uint8Array) => {
      let isAccepted: boolean;
      try {
        isAccepted = acceptsTls(answer, { mayBePlain: mode === "prefer" && !verifies });
      } catch (error) {
        return this.#fail(error);
      }
      if (isAccepted) this.#secure(socket);
      else this.#start(socket);
    });
    socket.write(TLS_REQUEST);
  }

  #secure(socket: Socket): void {
    const { verifies, checksHost, ca } = this.#tls;
    const { host } = this.#address;
    const secured = this.#secured = connectTls({
      socket,
      host,
      // An IP address may not stand in the handshake: https://www.rfc-editor.org/rfc/rfc6066#section-3
      ...(isIP(host) === 0 ? { servername: host } : {}),
      rejectUnauthorized: verifies,
      ...(ca === undefined ? {} : { ca }),
      ...(checksHost ? {} : { checkServerIdentity: () => undefined }),
    });
    this.#use(secured);
    secured.once("secureConnect", () => this.#start(secured));
  }

  #use(socket: Socket): void {
    this.#sockets.push(socket);
    socket.on("error", (error) => {
      if (socket === this.#sockets.at(-1) && !this.#isClosed) this.emit("error", error);
    });
    // PostgreSQL sends nothing after its end, and reads nothing.
    socket.on("end", () => socket.destroy());
    socket.on("close", () => this.#close());
  }

  #start(socket: Socket): void {
    this.#open = socket;
    socket.on("data", (chunk) => this.emit("data", chunk));
    this.emit("connect");
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return;
    this.emit("error", error);
    this.#close();
  }

  /** TLS and TCP end together, whichever ends first. */
  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#open = undefined;
    this.destroy();
    this.emit("close");
  }
}
