/** One keep-alive connection of the load generator. */
import { connect, type Socket } from "node:net";

export class HttpConnection implements Disposable {
  readonly #port: number;
  readonly #from: string | undefined;
  #socket: Socket | undefined;

  /**
   * `from`: an address of this machine, by which a server tells clients apart. To bind one takes the kernel half a
   * millisecond once thousands of its ports belong to connections that have closed; without one, `connect` reuses them.
   */
  constructor(port: number, { from }: { from?: string | undefined } = {}) {
    this.#port = port;
    this.#from = from;
  }

  /** Sends a request and returns the status of its answer. Rejects as `exchange` does. */
  async ask(request: string): Promise<number> {
    return statusOf(await this.exchange(request));
  }

  /** Sends a request and returns its answer, as latin1. Rejects if the server closes before the answer's end. */
  async exchange(request: string): Promise<string> {
    const socket = this.#socket ??= this.#connect();
    try {
      const answer = await answerOf(socket, request);
      if (/\r\nconnection: close\r\n/i.test(answer)) this[Symbol.dispose]();
      return answer;
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #connect(): Socket {
    const address = { host: "127.0.0.1", port: this.#port, localAddress: this.#from };
    const socket = connect({ ...address, noDelay: true }).setEncoding("latin1");
    // A server may close while no request is under way. The next one finds the socket destroyed.
    return socket.on("error", () => {});
  }

  [Symbol.dispose](): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }
}

function answerOf(socket: Socket, request: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let answer = "";
  const onData = (text: string) => {
    answer += text;
    if (isWhole(answer)) resolve(answer);
  };
  const onClose = () =>
    reject(new Error(`the server closed the connection after ${answer.length} bytes`));
  socket.on("data", onData).on("close", onClose);
  socket.write(request);
  if (socket.destroyed) onClose();
  return promise.finally(() => socket.off("data", onData).off("close", onClose));
}

export function statusOf(answer: string): number {
  return Number(answer.slice(9, 12));
}

/** Whether the answer has all of its body. All contenders answer with a length or in chunks. */
export function isWhole(answer: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const head = answer.slice(0, end + 2);
  const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
  return length === undefined
    ? answer.endsWith("\r\n0\r\n\r\n")
    : answer.length >= end + 4 + Number(length);
}
