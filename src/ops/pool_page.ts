/**
 * `/ops`: the pool, live, for people. Deno only: its files are no part of a Worker's bundle, whose requests reach any
 * isolate in turn, so that a page would show another pool each time.
 */
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { DatabaseStats, PoolView } from "../db/mod.ts";
import { eventStream } from "./event_stream.ts";
import { guard } from "./guard.ts";
import { History, SAMPLE_EVERY_MS } from "./history.ts";
import { ASSETS, PAGE, SIGN_IN } from "./page/assets.ts";
import { RecentFailures } from "./recent_failures.ts";
import { isSignedIn, signIn, signOut } from "./sign_in.ts";
import { sampleOf, type Snapshot, snapshotOf } from "./snapshot.ts";

export interface PoolPageOptions {
  readonly database: { stats(): DatabaseStats; inspect(): PoolView };
  /** `OPS_TOKEN`. */
  readonly token: string | undefined;
  /** Whether the request needs no token. */
  readonly isTrusted: (c: Context) => boolean;
  /** Ends the streams of events. */
  readonly ending: AbortSignal;
}

/** Nothing from elsewhere, and nothing inline. https://www.w3.org/TR/CSP3/ */
const CONTENT_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; " +
  "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** Of whoever wants to sign in, and is not known yet. */
const MAX_FORM_BYTES = 4_096;

/** Who may watch at once: each costs the service a look at its pool every second. */
const MOST_READERS = 50;

const HEADERS = {
  "Content-Security-Policy": CONTENT_POLICY,
  "Cache-Control": "no-store",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

export class PoolPage implements Disposable {
  readonly failures: RecentFailures = new RecentFailures();
  readonly routes: Hono;
  readonly #options: PoolPageOptions;
  readonly #history = new History();
  readonly #timer: ReturnType<typeof setInterval>;
  #readers = 0;

  constructor(options: PoolPageOptions) {
    this.#options = options;
    this.routes = this.#makeRoutes();
    const { database } = options;
    this.#timer = setInterval(
      () => this.#history.add(sampleOf(database.stats(), Date.now())),
      SAMPLE_EVERY_MS,
    );
  }

  /** Keeps no more of the past. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  snapshot(): Snapshot {
    const { database } = this.#options;
    const failures = this.failures.list();
    return snapshotOf({ stats: database.stats(), view: database.inspect(), failures }, Date.now());
  }

  #makeRoutes(): Hono {
    const { token } = this.#options;
    const isKnown = (c: Context) => this.#isKnown(c);
    const routes = new Hono()
      .use("/ops/*", this.#onlyWhereThereIsOne())
      .get("/ops", async (c) => {
        return await isKnown(c) ? c.html(PAGE, 200, HEADERS) : c.redirect("/ops/sign-in", 303);
      })
      .get("/ops/sign-in", (c) => c.html(SIGN_IN, 200, HEADERS))
      .get("/ops/events", guard({ token, isTrusted: isKnown }), (c) => this.#events(c))
      .post("/ops/sign-in", bodyLimit({ maxSize: MAX_FORM_BYTES }), async (c) => {
        const { token: given } = await readForm(c);
        const isRight = token !== undefined && typeof given === "string" &&
          await signIn(c, { given, token });
        return isRight ? c.redirect("/ops", 303) : c.html(SIGN_IN_AGAIN, 401, HEADERS);
      })
      .post("/ops/sign-out", (c) => {
        signOut(c);
        return c.redirect("/ops", 303);
      });
    // A pattern beside names would be too much for Hono's fast router, and make every request of the service slower.
    for (const [name, { type, text }] of Object.entries(ASSETS)) {
      routes.get(`/ops/${name}`, (c) => c.body(text, 200, { ...HEADERS, "Content-Type": type }));
    }
    return routes;
  }

  /** Without a token there is nobody who could sign in. */
  #onlyWhereThereIsOne(): MiddlewareHandler {
    const { token, isTrusted } = this.#options;
    return async function onlyWhereThereIsOne(c, next) {
      return token === undefined && !isTrusted(c) ? c.notFound() : await next();
    };
  }

  async #isKnown(c: Context): Promise<boolean> {
    const { token, isTrusted } = this.#options;
    return isTrusted(c) || (token !== undefined && await isSignedIn(c, token));
  }

  #events(c: Context): Response {
    if (this.#readers >= MOST_READERS) {
      return c.text(
        `Cannot show the pool to more than ${MOST_READERS} at once; try again later`,
        503,
        {
          "Retry-After": "10",
        },
      );
    }
    this.#readers++;
    return eventStream({
      onEnd: () => this.#readers--,
      first: { history: this.#history.list() },
      name: "snapshot",
      take: () => this.snapshot(),
      everyMs: SAMPLE_EVERY_MS,
      signal: this.#options.ending,
    });
  }
}

/** What cannot be read holds nothing. */
async function readForm(c: Context): Promise<Record<string, unknown>> {
  return await c.req.parseBody().catch(() => ({}));
}

const SIGN_IN_AGAIN = SIGN_IN.replace("hidden data-refused", "data-refused");
