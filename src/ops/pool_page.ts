/**
 * `/ops`: a live page of the pool. Deno only, and not part of a Worker's bundle: a Worker's requests reach different
 * isolates, so that a page there would show a different pool each time.
 */
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import type { DatabaseStats, DatabaseView } from "../db/mod.ts";
import { EVENT_STREAM_HEADERS, eventStream } from "./event_stream.ts";
import { guard } from "./guard.ts";
import type { Guesses } from "./guesses.ts";
import type { Operators } from "./operators.ts";
import { SAMPLE_INTERVAL_MS, SampleHistory } from "./history.ts";
import { ASSETS, PAGE, SIGN_IN } from "./page/assets.ts";
import { RecentFailures } from "./recent_failures.ts";
import { isCrossSite, SignIns } from "./sign_in.ts";
import { poolRoute } from "./pool_route.ts";
import { sampleOf, type Snapshot, takeSnapshot } from "./snapshot.ts";

export interface PoolPageOptions {
  readonly database: { stats(): DatabaseStats; inspect(): DatabaseView };
  /** Without them the page does not exist, except for requests that are trusted. */
  readonly operators: Operators | undefined;
  readonly guesses: Guesses;
  /** Whether the request needs no token. */
  readonly isTrusted: (c: Context) => boolean;
  /** Ends the event streams when it aborts. */
  readonly shutdownSignal: AbortSignal;
}

/** Allows only the page's own files, and nothing inline. https://www.w3.org/TR/CSP3/ */
const CONTENT_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; " +
  "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** Limits the body of the sign-in form, which is read before the client is authenticated. */
const MAX_FORM_BYTES = 4_096;

/** Event streams at once. For each, the service reads the state of its pool every second. */
const MAX_STREAMS = 50;

const HEADERS = {
  "Content-Security-Policy": CONTENT_POLICY,
  "Cache-Control": "no-store",
  "Cross-Origin-Resource-Policy": "same-origin",
  // With `no-referrer`, browsers send `Origin: null` with the page's own forms, as if another site had sent them:
  // https://fetch.spec.whatwg.org/#append-a-request-origin-header
  "Referrer-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
};

export class PoolPage implements Disposable {
  readonly failures: RecentFailures = new RecentFailures();
  readonly routes: Hono;
  readonly #options: PoolPageOptions;
  readonly #history = new SampleHistory();
  readonly #signIns = new SignIns();
  readonly #timer: ReturnType<typeof setInterval>;
  #openStreams = 0;

  constructor(options: PoolPageOptions) {
    this.#options = options;
    this.routes = this.#makeRoutes();
    const { database } = options;
    this.#timer = setInterval(
      () => this.#history.add(sampleOf(database.stats(), Date.now())),
      SAMPLE_INTERVAL_MS,
    );
  }

  /** Stops sampling and all timers. The routes still answer. */
  [Symbol.dispose](): void {
    this.#signIns[Symbol.dispose]();
    clearInterval(this.#timer);
  }

  snapshot(): Snapshot {
    const { database } = this.#options;
    const failures = this.failures.list();
    return takeSnapshot(
      { stats: database.stats(), view: database.inspect(), failures },
      Date.now(),
    );
  }

  #makeRoutes(): Hono {
    const { database, operators, guesses } = this.#options;
    const isAuthorised = (c: Context) => this.#isAuthorised(c);
    const guarded = guard({ operators, guesses, isTrusted: isAuthorised });
    const routes = new Hono()
      .use("/ops/*", this.#requireTokenOrTrust())
      .get("/ops", (c) => {
        if (!isAuthorised(c)) return c.redirect("/ops/sign-in", 303);
        const isSignedIn = this.#signIns.find(c) !== undefined;
        return c.html(isSignedIn ? PAGE_SIGNED_IN : PAGE, 200, HEADERS);
      })
      .get("/ops/sign-in", (c) => c.html(SIGN_IN, 200, HEADERS))
      .get("/ops/events", guarded, (c) => this.#events(c))
      .route("/", poolRoute({ database, failures: this.failures, guard: guarded }))
      .post("/ops/sign-in", refuseCrossSite, limitForm, async (c) => {
        const { token: given } = await readForm(c);
        const isRight = operators !== undefined && typeof given === "string" &&
          await guesses.check(c, async () => await operators(given) === "operator");
        if (!isRight) return c.html(SIGN_IN_REFUSED, 401, HEADERS);
        this.#signIns.start(c);
        return c.redirect("/ops", 303);
      })
      .post("/ops/sign-out", refuseCrossSite, (c) => {
        this.#signIns.end(c);
        return c.redirect("/ops", 303);
      });
    // One route per file: the app's router (`src/hono.ts`) supports no pattern beside these fixed addresses.
    for (const [name, { type, text }] of Object.entries(ASSETS)) {
      routes.get(`/ops/${name}`, (c) => c.body(text, 200, { ...HEADERS, "Content-Type": type }));
    }
    return routes;
  }

  /** Without a token no client can sign in, so the page does not exist. */
  #requireTokenOrTrust(): MiddlewareHandler {
    const { operators, isTrusted } = this.#options;
    return async function requireTokenOrTrust(c, next) {
      return operators === undefined && !isTrusted(c) ? c.notFound() : await next();
    };
  }

  #isAuthorised(c: Context): boolean {
    return this.#options.isTrusted(c) || this.#signIns.find(c) !== undefined;
  }

  #events(c: Context): Response {
    // Hono answers HEAD by this route and drops the body without cancelling it: a stream would stay open for ever.
    if (c.req.method === "HEAD") return new Response(null, { headers: EVENT_STREAM_HEADERS });
    if (this.#openStreams >= MAX_STREAMS) {
      return c.text(
        `Cannot open another event stream as ${MAX_STREAMS} are open, which is the limit; try again later`,
        503,
        {
          "Retry-After": "10",
        },
      );
    }
    this.#openStreams++;
    const { shutdownSignal } = this.#options;
    const signIn = this.#signIns.find(c);
    return eventStream({
      onEnd: () => this.#openStreams--,
      initialEvents: { history: this.#history.list() },
      name: "snapshot",
      read: () => this.snapshot(),
      intervalMs: SAMPLE_INTERVAL_MS,
      signal: signIn === undefined
        ? shutdownSignal
        : AbortSignal.any([shutdownSignal, signIn.ended]),
    });
  }
}

/** A form of another site must not sign an operator in or out. */
async function refuseCrossSite(c: Context, next: () => Promise<void>): Promise<void> {
  if (isCrossSite(c)) throw new HTTPException(403);
  await next();
}

const limitBody = bodyLimit({ maxSize: MAX_FORM_BYTES });

/** Of a body without a length, it reads all, which may break off. */
function limitForm(c: Context, next: () => Promise<void>): Promise<Response | void> {
  return limitBody(c, next).catch((cause) => {
    throw cause instanceof HTTPException ? cause : new HTTPException(400, { cause });
  });
}

/** A body that is not a form counts as an empty form. */
async function readForm(c: Context): Promise<Record<string, unknown>> {
  return await c.req.parseBody().catch(() => ({}));
}

const SIGN_IN_REFUSED = SIGN_IN.replace("hidden data-refused", "data-refused");

/** Without a sign-in, as under `deno task dev`, there is nothing to sign out of. */
const PAGE_SIGNED_IN = PAGE.replace('id="sign-out" hidden', 'id="sign-out"');
