/** A browser shows the token once, and then a cookie that is worth nothing anywhere else. */
import type { Context } from "hono";
import { deleteCookie, getSignedCookie, setSignedCookie } from "hono/cookie";
import { timingSafeEqual } from "hono/utils/buffer";

const COOKIE = "ops_signed_in_until";
const LASTS_S = 12 * 3_600;
const PATH = "/ops";

/** Whether the request has a cookie that `signIn` has set, and that has not run out. */
export async function isSignedIn(c: Context, token: string): Promise<boolean> {
  const until = await getSignedCookie(c, token, COOKIE);
  return typeof until === "string" && Number(until) > Date.now();
}

/** Sets the cookie if the token is right: it holds when it runs out, signed with the token, which is not in it. */
export async function signIn(
  c: Context,
  { given, token }: { given: string; token: string },
): Promise<boolean> {
  if (!await timingSafeEqual(given, token)) return false;
  await setSignedCookie(c, COOKIE, String(Date.now() + LASTS_S * 1_000), token, {
    httpOnly: true,
    sameSite: "Strict",
    path: PATH,
    maxAge: LASTS_S,
    secure: isHttps(c),
  });
  return true;
}

export function signOut(c: Context): void {
  deleteCookie(c, COOKIE, { path: PATH });
}

/** As the browser sees it, in front of whatever ends TLS. */
function isHttps(c: Context): boolean {
  return (c.req.header("x-forwarded-proto") ?? new URL(c.req.url).protocol).startsWith("https");
}
