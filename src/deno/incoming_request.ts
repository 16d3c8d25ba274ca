/** A request of a client. To make a `Request` of the runtime costs as much as all the rest that the server does. */
import { IncomingHeaders } from "./incoming_headers.ts";
import { madeOnDemand } from "./on_demand.ts";

export interface IncomingRequestOptions {
  /** As `Request.url` has it. */
  readonly url: string;
  readonly method: string;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
  /** `undefined` for a request that has no body. */
  readonly openBody: (() => ReadableStream<Uint8Array<ArrayBuffer>>) | undefined;
}

/** Knows what routing and most handlers ask for. It becomes a request of the runtime when anything else is asked of it. */
class IncomingRequest {
  readonly #options: IncomingRequestOptions;
  readonly #headers: IncomingHeaders;
  #made: Request | undefined;

  constructor(options: IncomingRequestOptions) {
    this.#options = options;
    this.#headers = new IncomingHeaders(options.rawHeaders);
  }

  get url(): string {
    return this.#options.url;
  }

  get method(): string {
    return this.#options.method;
  }

  get headers(): Headers {
    return this.#headers as unknown as Headers;
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#options.openBody === undefined ? null : this.made.body;
  }

  get made(): Request {
    const { url, method, openBody } = this.#options;
    return this.#made ??= new Request(url, {
      method,
      headers: this.#headers.init,
      body: openBody?.() ?? null,
    });
  }
}

madeOnDemand(IncomingRequest, Request, (request) => (request as IncomingRequest).made);

/** A `Request`. */
export function incomingRequest(options: IncomingRequestOptions): Request {
  return new IncomingRequest(options) as unknown as Request;
}
