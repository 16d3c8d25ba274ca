/** A request of a client. To make a `Request` of the runtime costs as much as all the rest that the server does. */
import type { TakesBody } from "../http/body.ts";
import { IncomingHeaders } from "./incoming_headers.ts";
import { madeOnDemand } from "./on_demand.ts";

const RuntimeRequest = globalThis.Request;

export interface IncomingRequestOptions {
  /** As `Request.url` has it. */
  readonly url: string;
  readonly method: string;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
  /** `undefined` for a request that has none. */
  readonly body: IncomingBody | undefined;
}

export interface IncomingBody {
  /** All of it, if it has come and nothing has been read of it. */
  take(): Uint8Array<ArrayBuffer> | undefined;
  open(): ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** Knows what routing and most handlers ask for. It becomes a request of the runtime when anything else is asked of it. */
class IncomingRequest implements TakesBody {
  readonly #options: IncomingRequestOptions;
  readonly #headers: IncomingHeaders;
  #body: ReadableStream<Uint8Array<ArrayBuffer>> | null | undefined;
  #isTaken = false;
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
    // To clone a request gives it another stream.
    if (this.#made !== undefined || this.#isTaken) return this.made.body;
    return this.#body ??= this.#options.body?.open() ?? null;
  }

  takeBody(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#made !== undefined || this.#body !== undefined || this.#isTaken) return undefined;
    const bytes = this.#options.body?.take();
    this.#isTaken = bytes !== undefined;
    return bytes;
  }

  get made(): Request {
    return this.#made ??= this.#make();
  }

  #make(): Request {
    const { url, method } = this.#options;
    const init = { method, headers: this.#headers.init };
    try {
      if (!this.#isTaken) return new RuntimeRequest(url, { ...init, body: this.body });
    } catch {
      // The stream has a reader, or was read.
    }
    const used = new RuntimeRequest(url, { ...init, body: new Uint8Array() });
    void used.body!.cancel();
    return used;
  }
}

madeOnDemand(IncomingRequest, RuntimeRequest, (request) => (request as IncomingRequest).made);

function madeOf<T>(input: T): T | Request {
  return input instanceof IncomingRequest ? input.made : input;
}

let isAccepted = false;

/** Lets `new Request` and `fetch`, as they are now, take incoming requests: middleware of others passes them on. */
export function acceptIncomingRequests(): void {
  if (isAccepted) return;
  isAccepted = true;
  const withMade = (args: unknown[]) => args.map((arg, at) => at === 0 ? madeOf(arg) : arg);
  globalThis.Request = new Proxy(globalThis.Request, {
    construct: (target, args, newTarget) => Reflect.construct(target, withMade(args), newTarget),
  });
  globalThis.fetch = new Proxy(globalThis.fetch, {
    apply: (target, self, args) => Reflect.apply(target, self, withMade(args)),
  });
}

/** A `Request`. */
export function incomingRequest(options: IncomingRequestOptions): Request {
  return new IncomingRequest(options) as unknown as Request;
}
