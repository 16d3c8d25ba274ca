/** Sign-in for browsers: the operator enters the token once, then a signed cookie replaces it on `/ops`. */
import type { Context } from "hono";
import { deleteCookie, getSignedCookie, setSignedCookie } from "hono/cookie";
import { timingSafeEqual } from "hono/utils/buffer";

const COOKIE = "ops_signed_in_until";
const COOKIE_LIFETIME_S = 12 * 3_600;
const PATH = "/ops";

/** Whether the request has a cookie of `signIn` that has not expired. */
export async function isSignedIn(c: Context, token: string): Promise<boolean> {
  const until = await getSignedCookie(c, token, COOKIE);
  return typeof until === "string" && Number(until) > Date.now();
}

/** Sets the cookie and returns true if the token is right. The cookie is its expiry, signed with the token. */
export async function signIn(
  c: Context,
  { given, token }: { given: string; token: string },
): Promise<boolean> {
  if (!await timingSafeEqual(given, token)) return false;
  await setSignedCookie(c, COOKIE, String(Date.now() + COOKIE_LIFETIME_S * 1_000), token, {
    httpOnly: true,
    sameSite: "Strict",
    path: PATH,
    maxAge: COOKIE_LIFETIME_S,
    secure: isHttps(c),
  });
  return true;
}

export function signOut(c: Context): void {
  deleteCookie(c, COOKIE, { path: PATH });
}

/** Whether the browser uses HTTPS, also if a proxy in front of the service terminates TLS. */
function isHttps(c: Context): boolean {
  return (c.req.header("x-forwarded-proto") ?? c.req.url).startsWith("https");
}
