/** A client of V8's inspector. https://chromedevtools.github.io/devtools-protocol/ */

type Answer = Record<string, unknown>;

export class Inspector implements Disposable {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  #sent = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      const { id, result, error } = JSON.parse(data);
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(`Cannot profile: ${error.message}`));
    };
  }

  static async connect(port: number): Promise<Inspector> {
    const response = await fetch(`http://127.0.0.1:${port}/json`);
    const [{ webSocketDebuggerUrl: url }] = await response.json();
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error("Cannot connect to the inspector"));
    });
    return new Inspector(socket);
  }

  send(method: string, params = {}): Promise<Answer> {
    const id = ++this.#sent;
    const waiting = Promise.withResolvers<Answer>();
    this.#waiting.set(id, waiting);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return waiting.promise;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
