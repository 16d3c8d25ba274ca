/**
 * A response that `node:http` is to write. A `Response` shows its body only as a stream, and to read a text through one
 * costs the server as much as to write it.
 */
import { OutgoingHeaders } from "./outgoing_headers.ts";

const RuntimeResponse = globalThis.Response;

/** A response of the runtime in every respect, which also knows its text. */
class OutgoingResponse extends RuntimeResponse {
  #text: string | undefined;
  #headers: OutgoingHeaders | undefined;

  constructor(body?: BodyInit | null, init?: ResponseInit) {
    super(body, init);
    if (typeof body === "string") this.#text = body;
  }

  // `this` may be another response: what stands in front of one, such as a proxy, calls these for it.

  /** The caller may read or lock the stream: the text is then no longer what is left of the body. */
  override get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    if (#text in this) this.#text = undefined;
    return super.body;
  }

  override get headers(): Headers {
    const own = #headers in this ? this.#headers : undefined;
    return own as unknown as Headers | undefined ?? super.headers;
  }

  /** The runtime copies its own headers. */
  override clone(): Response {
    void this.#headers?.made;
    return super.clone();
  }

  static headersOf(response: Response): Headers {
    if (#headers in response) response.#headers ??= new OutgoingHeaders(response.headers);
    return response.headers;
  }

  static unreadText(response: Response): string | undefined {
    return #text in response && !response.bodyUsed ? response.#text : undefined;
  }

  /** `fetch` and `Response.json` make responses of the runtime's own class. Subclasses inherit this. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return this === OutgoingResponse
      ? value instanceof RuntimeResponse
      : Function.prototype[Symbol.hasInstance].call(this, value);
  }
}

/** Lets the responses that are made from now on be such. */
export function makeOutgoingResponses(): void {
  globalThis.Response = OutgoingResponse;
}

/**
 * The headers of a response that only `node:http` is still to write: the runtime itself does not see what is added. Those of
 * the runtime if it has made the response.
 */
export function outgoingHeaders(response: Response): Headers {
  return OutgoingResponse.headersOf(response);
}

/** The response's body, if it was made of a text and nothing has touched it. */
export function unreadText(response: Response): string | undefined {
  return OutgoingResponse.unreadText(response);
}
