/**
 * DNS rebinding against `deno task dev`: requests that reach 127.0.0.1 under another site's name.
 * Run it alone: deno test -A tests/hostile/rebinding_test.ts
 */
import { assertEquals, assertMatch } from "@std/assert";
import { copyCheckout, DEV_BEARER } from "../dev/checkout_copy.ts";

const BODY = JSON.stringify({ email: "mallory@example.com", name: "Mallory" });

/** The status of a request whose target and Host are given as they are on the wire. */
async function statusOf(
  { port, target = "/users", host, method = "GET" }: {
    port: number;
    target?: string;
    host: string | undefined;
    method?: "GET" | "POST";
  },
): Promise<{ status: number; text: string }> {
  using socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const request =
    `${method} ${target} HTTP/1.1\r\n${host === undefined ? "" : `Host: ${host}\r\n`}` +
    `Authorization: ${DEV_BEARER.authorization}\r\n` +
    `Content-Type: application/json\r\nConnection: close\r\n` +
    (method === "POST" ? `Content-Length: ${BODY.length}\r\n\r\n${BODY}` : "\r\n");
  await socket.write(new TextEncoder().encode(request));
  const text = await new Response(socket.readable).text();
  return { status: Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1]), text };
}

Deno.test({
  name: "deno task dev serves only loopback names, on every route and for every method",
  timeout: 120_000,
  async fn() {
    await using checkout = await copyCheckout();
    await using dev = checkout.dev();
    const { url } = await dev.ready();
    const port = Number(new URL(url).port);
    const foreign = [
      "evil.example",
      `evil.example:${port}`,
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "notlocalhost",
      "0.0.0.0",
      "[::2]",
      "169.254.169.254",
    ];
    for (const host of foreign) {
      for (const target of ["/users", "/ops", "/ops/events", "/metrics", "/healthz", "/no-such"]) {
        const { status, text } = await statusOf({ port, target, host });
        assertEquals(status, 400, `${host} ${target}`);
        assertMatch(text, /serves only this machine's names/);
      }
      assertEquals((await statusOf({ port, host, method: "POST" })).status, 400, host);
    }
    // The target names the host: the header does not count.
    const absolute = await statusOf({
      port,
      host: "localhost",
      target: "http://evil.example/users",
    });
    assertEquals(absolute.status, 400);
    assertEquals((await statusOf({ port, host: undefined })).status, 400);
    const own = ["localhost", `localhost:${port}`, `127.0.0.1:${port}`, "127.1.2.3", "[::1]"];
    for (const host of [...own, "app.localhost", `LOCALHOST:${port}`]) {
      assertEquals((await statusOf({ port, host })).status, 200, host);
    }
    assertEquals((await statusOf({ port, host: "localhost", method: "POST" })).status, 201);
  },
});
