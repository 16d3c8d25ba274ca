/** One keep-alive connection of the load generator. */

const latin1 = new TextDecoder("latin1");
const utf8 = new TextEncoder();

export class HttpConnection implements Disposable {
  readonly #port: number;
  readonly #buffer = new Uint8Array(64 * 1024);
  #socket: Deno.TcpConn | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  /** Sends a request and returns the status of its answer. Rejects as `exchange` does. */
  async ask(request: string): Promise<number> {
    return statusOf(await this.exchange(request));
  }

  /** Sends a request and returns its answer, as latin1. Rejects if the server closes before the answer's end. */
  async exchange(request: string): Promise<string> {
    const socket = this.#socket ??= await this.#connect();
    try {
      await writeAll(socket, utf8.encode(request));
      let answer = "";
      do {
        const count = await socket.read(this.#buffer);
        if (count === null) {
          throw new Error(`the server closed the connection after ${answer.length} bytes`);
        }
        answer += latin1.decode(this.#buffer.subarray(0, count));
      } while (!isWhole(answer));
      if (/\r\nconnection: close\r\n/i.test(answer)) this[Symbol.dispose]();
      return answer;
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  async #connect(): Promise<Deno.TcpConn> {
    const socket = await Deno.connect({ hostname: "127.0.0.1", port: this.#port });
    socket.setNoDelay(true);
    return socket;
  }

  [Symbol.dispose](): void {
    try {
      this.#socket?.close();
    } catch {
      // Already closed.
    }
    this.#socket = undefined;
  }
}

export function statusOf(answer: string): number {
  return Number(answer.slice(9, 12));
}

async function writeAll(socket: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await socket.write(bytes.subarray(sent));
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
