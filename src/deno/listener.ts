/**
 * The HTTP server of the process, on `node:http`: of Deno's two servers it is the one that limits the time of a
 * request's headers and lets its owner see connections. `Deno.serve` does neither, and ends when the process has no
 * descriptor left for a new connection.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, Server as NetServer, type Socket } from "node:net";
import { setImmediate } from "node:timers";
import { completesWithin } from "../db/time/timeout.ts";
import { AcceptWatch } from "./accept_watch.ts";
import { type ConnectionLimits, Connections, type Refused } from "./connections.ts";
import {
  breakOff,
  discardRest,
  type ExchangeInfo,
  type Handler,
  hasBrokenOff,
  hasNoBody,
  requestOf,
  respond,
} from "./exchange.ts";
import { acceptIncomingRequests } from "./incoming_request.ts";
import { LoopTurns } from "./loop_turns.ts";
import { detachParser, endWith, refusalOf } from "./refusal.ts";
import { makeOutgoingResponses } from "./outgoing_response.ts";
import { WriteWatch } from "./write_watch.ts";

/** From the connection, or the end of the last request, to the end of the headers. */
const HEADERS_TIMEOUT_MS = 10_000;

/** From a request's first byte to the end of its body. The app has a shorter limit for the bodies that it reads. */
const REQUEST_TIMEOUT_MS = 30_000;

/** A reader that takes no chunk for this long loses its connection. */
const WRITE_TIMEOUT_MS = 30_000;

/** Longer than proxies keep idle connections (nginx: 60 s), so that it is the proxy that closes them. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;

/** How often the server looks for requests, responses and idle connections that are past a limit. */
const CHECK_INTERVAL_MS = 1_000;

/**
 * How long idle connections stay open for one more request. Its response says that the connection closes, so that the
 * client sends nothing into a connection that is being closed, where a request is lost without an answer.
 */
export const LINGER_MS = 400;

/** If no client has connected for this long, hardly one does so in the moment in which the listener closes. */
const ACCEPT_PAUSE_MS = 20;

/** The end of the wait for a turn that brings no connection, if clients connect all the time. */
const ACCEPT_TURNS_MAX = 20;

/**
 * Refusals in one turn of the event loop. Each takes about 50 µs, and the heads of all connections that came at once are
 * late at once.
 */
const REFUSALS_PER_TURN = 16;

/** How long a client may take to close its side of an idle connection. */
const FAREWELL_MS = 50;

export interface ListenerOptions extends ConnectionLimits {
  /**
   * Connections that the kernel completes before the process accepts them, as far as `net.core.somaxconn` lets it. When
   * there are as many, it drops the packets of further clients, which try again after a second.
   */
  readonly backlog: number;
  readonly hostname: string;
  readonly port: number;
  readonly handler: Handler;
  readonly onRefused: (reason: Refused, client: string) => void;
  /** Called if the handler throws, or returns a response that cannot be written. The client gets 500, or a cut body. */
  readonly onError: (error: unknown) => void;
  /** Called if the listener has stopped accepting, and is opened again. */
  readonly onSilence: () => void;
  /** Shorter ones for tests. */
  readonly timeouts?:
    | {
      headersMs?: number;
      writeMs?: number;
      keepAliveMs?: number;
      checkMs?: number;
      intervalMs?: number;
      timeoutMs?: number;
    }
    | undefined;
}

/** An HTTP server that listens. */
export interface HttpListener {
  readonly port: number;
  /** From now on each connection is closed after its next response, which says so. New ones are still accepted. */
  closeAfterResponses(): void;
  /** Accepts no more connections. Resolves when all are closed, or after `timeoutMs`. */
  close(options: { timeoutMs: number }): Promise<void>;
}

export class Listener implements HttpListener {
  readonly #server: Server;
  readonly #connections: Connections;
  readonly #handler: Handler;
  readonly #onError: ListenerOptions["onError"];
  readonly #keepAliveMs: number;
  readonly #backlog: number;
  /** The newest request of a connection. */
  readonly #newest = new WeakMap<Socket, IncomingMessage>();
  readonly #checks: ReturnType<typeof setInterval>;
  readonly #refusals = new LoopTurns({ perTurn: REFUSALS_PER_TURN });
  #watch: AcceptWatch | undefined;
  #isClosing = false;

  private constructor(options: ListenerOptions) {
    this.#handler = options.handler;
    this.#onError = options.onError;
    const {
      headersMs = HEADERS_TIMEOUT_MS,
      writeMs = WRITE_TIMEOUT_MS,
      keepAliveMs = KEEP_ALIVE_TIMEOUT_MS,
      checkMs = CHECK_INTERVAL_MS,
    } = options.timeouts ?? {};
    this.#keepAliveMs = keepAliveMs;
    this.#backlog = options.backlog;
    makeOutgoingResponses();
    acceptIncomingRequests();
    this.#connections = new Connections(options, options.onRefused);
    this.#server = createServer({
      headersTimeout: headersMs,
      requestTimeout: REQUEST_TIMEOUT_MS,
      // Node sets a timer for each response, which costs a fifth of the exchange. The checks below close idle connections.
      keepAliveTimeout: 0,
      connectionsCheckingInterval: checkMs,
      noDelay: true,
      // Node would answer by itself, and run what is behind: `requestOf` refuses.
      requireHostHeader: false,
    });
    // Node would drop those after the first 2,000, also the length of a body. Their bytes have a limit of their own.
    this.#server.maxHeadersCount = 0;
    this.#server.on("connection", (socket: Socket) => {
      this.#watch?.noteAccepted();
      this.#connections.admit(socket);
    });
    const onRequest = (message: IncomingMessage, out: ServerResponse) => {
      this.#newest.set(message.socket, message);
      this.#connections.enqueue(message.socket, () => this.#answer(message, out));
    };
    this.#server.on("request", onRequest);
    // Of an unknown expectation. Node would answer 417 by itself, and the connection would never count as idle.
    this.#server.on("checkExpectation", onRequest);
    // Without this listener node cuts the connection, also while an earlier request of it runs.
    this.#server.on("clientError", ({ code }: { code?: string }, socket: Socket) => {
      const status = refusalOf(code);
      if (status === undefined) socket.destroy();
      else this.#refuse(socket, status);
    });
    const writes = new WriteWatch({ timeoutMs: writeMs });
    this.#checks = setInterval(() => {
      const nowMs = performance.now();
      writes.cut(this.#connections.sockets(), nowMs);
      this.#connections.destroyIdleFor(keepAliveMs, nowMs);
    }, checkMs);
  }

  /** Resolves when the server listens. Rejects with the error of the system. */
  static async listen(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    const { hostname: host, port } = options;
    await listener.#bind({ host, port }).catch((error) => {
      clearInterval(listener.#checks);
      throw error;
    });
    // Also 0.0.0.0, a connection to which reaches this machine: the permission to listen there includes it.
    const address = { host, port: listener.port };
    listener.#watch = new AcceptWatch({
      address,
      onSilence: () => {
        options.onSilence();
        void listener.#bindAgain({ host, port: address.port }).catch(options.onError);
      },
      timeouts: options.timeouts,
    });
    return listener;
  }

  async #bind({ host, port }: { host: string; port: number }): Promise<void> {
    const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", reject);
    this.#server.listen({ host, port, backlog: this.#backlog - 1 }, resolve);
    await listening.finally(() => this.#server.off("error", reject));
  }

  /** Replaces the listening socket. Open connections stay. Those that wait to be accepted are reset. */
  async #bindAgain(address: { host: string; port: number }): Promise<void> {
    await new Promise<void>((resolve) => this.#stopListening(resolve));
    if (!this.#isClosing) await this.#bind(address);
  }

  /** `Server.close` of HTTP would also cut connections whose last response is not flushed yet. */
  #stopListening(onClosed: () => void): void {
    NetServer.prototype.close.call(this.#server, onClosed);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** From now on each connection is closed after its next response, which says so. New ones are still accepted. */
  closeAfterResponses(): void {
    this.#isClosing = true;
  }

  /**
   * Accepts no more connections, and closes the open ones after one more response, or after `LINGER_MS` without a request.
   * Resolves when all are closed; those that are still writing after `timeoutMs` are cut.
   */
  async close({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    const endsAtMs = performance.now() + timeoutMs;
    const within = (limitMs: number) =>
      Math.max(0, Math.min(limitMs, endsAtMs - performance.now()));
    this.#isClosing = true;
    await this.#allAccepted();
    this.#watch?.stop();
    const closed = new Promise<void>((resolve) => this.#stopListening(resolve));
    const empty = this.#connections.empty();
    await completesWithin(empty, within(LINGER_MS));
    this.#connections.endIdle();
    await completesWithin(empty, within(FAREWELL_MS));
    this.#connections.destroyIdle();
    await completesWithin(empty, within(timeoutMs));
    this.#connections.destroyAll();
    await closed;
    // Stops the timer that looks for late requests.
    this.#server.close();
    clearInterval(this.#checks);
  }

  /**
   * Resolves when the process has just accepted all connections that the kernel has completed: the kernel resets those
   * that wait when the listener closes, with the requests that are in them.
   */
  async #allAccepted(): Promise<void> {
    const first = Promise.withResolvers<void>();
    let accepted = 0;
    const onConnection = () => {
      accepted++;
      first.resolve();
    };
    this.#server.on("connection", onConnection);
    await completesWithin(first.promise, ACCEPT_PAUSE_MS);
    // Until a turn of the event loop brings none.
    for (let before = 0, turn = 0; before < accepted && turn < ACCEPT_TURNS_MAX; turn++) {
      before = accepted;
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
    this.#server.off("connection", onConnection);
  }

  /** Never rejects. */
  async #answer(message: IncomingMessage, out: ServerResponse): Promise<void> {
    try {
      // Node discards a body that nobody has read, also where there is none: that would be half of a request's ticks.
      const isEmpty = hasNoBody(message);
      if (isEmpty) message.read();
      const info = infoOf(message);
      const request = requestOf(message);
      const isRefused = !(request instanceof Request);
      const response = isRefused ? request : await this.#handler(request, info);
      // The request has come whole, and this emits its end.
      if (isEmpty) message.read();
      const closes = this.#isClosing || isRefused || hasBrokenOff(message);
      await respond(out, response, { closes, keepAliveMs: this.#keepAliveMs });
    } catch (error) {
      this.#onError(error);
      // The client must not take a body that broke off for complete.
      if (out.headersSent) out.destroy();
      else await respond(out, new Response(null, { status: 500 }), CLOSING);
    } finally {
      discardRest(message);
    }
  }

  /** Answers what is no request, behind the answers to the earlier requests of the connection, and closes that. */
  #refuse(socket: Socket, status: string): void {
    detachParser(socket);
    const newest = this.#newest.get(socket);
    // Then it is the request's body that broke off, and the answer is the request's.
    const isBody = newest !== undefined && !newest.complete;
    if (isBody) breakOff(newest);
    const end = async () => {
      await this.#refusals.next();
      // The client may have left, or another one may have needed its place.
      if (!socket.destroyed) await endWith(socket, isBody ? undefined : status);
    };
    this.#connections.enqueue(socket, end, { isLast: true });
  }
}

const CLOSING = { closes: true, keepAliveMs: 0 };

function infoOf({ socket }: IncomingMessage): ExchangeInfo {
  return { remoteAddr: { hostname: socket.remoteAddress ?? "" } };
}
