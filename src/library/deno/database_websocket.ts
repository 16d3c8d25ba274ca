// @ts-types="npm:@types/ws@8.18.2"
import { WebSocket } from "ws";
import { completesWithin } from "../../db/time/timeout.ts";

/** A relay writes one sentence. An error page of another server is longer, and says less. */
const REASON_BYTES_MAX = 1_000;
const REASON_TIMEOUT_MS = 1_000;

/**
 * The WebSocket for database connections on Deno. Deno's own WebSocket delays a small message until the previous one is
 * acknowledged, by about 40 ms, and cannot close a connection whose peer has stopped responding. A server that refuses
 * the upgrade says why in its response: that is the error here, and not only the status.
 */
export class DatabaseWebSocket extends WebSocket {
  #refusal: Error | undefined;

  constructor(url: string) {
    super(url, { perMessageDeflate: false });
    this.on("unexpected-response", async (_request, response) => {
      this.#refusal = new Error(await reasonOf(response));
      // Emits an error of its own, in whose place `emit` puts the refusal.
      this.terminate();
    });
  }

  // deno-lint-ignore no-explicit-any -- as in the declaration of EventEmitter
  override emit(event: string | symbol, ...args: any[]): boolean {
    return event === "error" && this.#refusal !== undefined
      ? super.emit(event, this.#refusal)
      : super.emit(event, ...args);
  }
}

/** What is read of Node's `IncomingMessage`. */
interface RefusedUpgrade extends AsyncIterable<Uint8Array> {
  readonly statusCode?: number | undefined;
  readonly statusMessage?: string | undefined;
  readonly headers: { readonly "content-type"?: string | undefined };
}

/** The first line of a plain text, or the status alone. Never rejects. */
async function reasonOf(response: RefusedUpgrade): Promise<string> {
  const { statusCode, statusMessage, headers } = response;
  const status = `status ${statusCode}`;
  if (!headers["content-type"]?.startsWith("text/plain")) {
    return `the server refused the WebSocket: ${status} ${statusMessage ?? ""}`.trim();
  }
  let bytes = new Uint8Array(0);
  const read = (async () => {
    for await (const chunk of response) {
      bytes = Uint8Array.of(...bytes, ...chunk.subarray(0, REASON_BYTES_MAX - bytes.length));
      if (bytes.length >= REASON_BYTES_MAX) return;
    }
  })().catch(() => {});
  await completesWithin(read, REASON_TIMEOUT_MS);
  const [line = ""] = new TextDecoder().decode(bytes).split("\n", 1);
  // deno-lint-ignore no-control-regex -- a terminal would obey them
  const text = line.replace(/[\x00-\x1f\x7f-\x9f]/g, " ").trim();
  return text === "" ? `the server refused the WebSocket: ${status}` : `${text} (${status})`;
}
