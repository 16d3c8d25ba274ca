/**
 * The text that a response was made of. A `Response` shows its body only as a stream, and to read a text through one
 * costs the server as much as to write it.
 */

const RuntimeResponse = globalThis.Response;

/** A response of the runtime in every respect, which also knows its text. */
class TextResponse extends RuntimeResponse {
  #text: string | undefined;

  constructor(body?: BodyInit | null, init?: ResponseInit) {
    super(body, init);
    if (typeof body === "string") this.#text = body;
  }

  /** The caller may read or lock the stream: the text is then no longer what is left of the body. */
  override get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    this.#text = undefined;
    return super.body;
  }

  static unreadText(response: Response): string | undefined {
    return #text in response && !response.bodyUsed ? response.#text : undefined;
  }

  /** `fetch` and `Response.json` make responses of the runtime's own class. Subclasses inherit this. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return this === TextResponse
      ? value instanceof RuntimeResponse
      : Function.prototype[Symbol.hasInstance].call(this, value);
  }
}

/** Lets the responses that are made from now on remember their texts. */
export function rememberTexts(): void {
  globalThis.Response = TextResponse;
}

/** The response's body, if it was made of a text and nothing has touched it. */
export function unreadText(response: Response): string | undefined {
  return TextResponse.unreadText(response);
}
