/** Sign-in for browsers: the operator enters the token once, then a cookie names a sign-in that this process keeps. */
import type { Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";

const COOKIE = "ops_sign_in";
const PATH = "/ops";

const LIFETIME_MS = 12 * 3_600_000;

/** 128 bits, in hexadecimal. */
const ID_BYTES = 16;

/** Only operators sign in. For a further sign-in the oldest one ends. */
const SIGN_INS_MAX = 100;

/** One browser that has sent the right token. */
export interface SignIn {
  /** Aborts when the operator signs out, or when the time is over. */
  readonly ended: AbortSignal;
}

interface Entry extends SignIn {
  end(): void;
  stopTimer(): void;
}

/**
 * The sign-ins of this process. They are state of the server, so that a sign-out ends the sign-in for every copy of its
 * cookie. A restart ends them all, and another process does not know them: the page shows the pool of one process anyway.
 */
export class SignIns implements Disposable {
  readonly #entries = new Map<string, Entry>();

  /** The request's sign-in; undefined if it has none that is valid. */
  find(c: Context): SignIn | undefined {
    return this.#entries.get(getCookie(c, COOKIE) ?? "");
  }

  /** Starts a sign-in of 12 hours and sets its cookie. */
  start(c: Context): void {
    const id = crypto.getRandomValues(new Uint8Array(ID_BYTES)).toHex();
    const [oldest] = this.#entries.values();
    if (this.#entries.size >= SIGN_INS_MAX) oldest?.end();
    const controller = new AbortController();
    const stopTimer = () => clearTimeout(timer);
    const end = () => {
      stopTimer();
      this.#entries.delete(id);
      controller.abort();
    };
    const timer = setTimeout(end, LIFETIME_MS);
    this.#entries.set(id, { ended: controller.signal, end, stopTimer });
    setCookie(c, COOKIE, id, {
      httpOnly: true,
      sameSite: "Strict",
      path: PATH,
      maxAge: LIFETIME_MS / 1_000,
      secure: isHttps(c),
    });
  }

  /** Ends the request's sign-in, if it has one, and removes the cookie. */
  end(c: Context): void {
    this.#entries.get(getCookie(c, COOKIE) ?? "")?.end();
    deleteCookie(c, COOKIE, { path: PATH, secure: isHttps(c) });
  }

  /** Stops the timers. The sign-ins stay: a service that shuts down still answers operators. */
  [Symbol.dispose](): void {
    for (const entry of this.#entries.values()) entry.stopTimer();
  }
}

/**
 * Whether a page of another site may have sent the form. Browsers send `Sec-Fetch-Site` over HTTPS and to localhost
 * (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header), and `Origin` with every POST. A program sends neither.
 */
export function isCrossSite(c: Context): boolean {
  const site = c.req.header("Sec-Fetch-Site");
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  const origin = c.req.header("Origin");
  return origin !== undefined && URL.parse(origin)?.host !== c.req.header("Host");
}

/** Whether the browser uses HTTPS, also if a proxy in front of the service terminates TLS. */
function isHttps(c: Context): boolean {
  return (c.req.header("X-Forwarded-Proto") ?? URL.parse(c.req.url)?.protocol ?? "")
    .startsWith("https");
}
