/**
 * A web page that a developer visits, in a real Chromium, tries to reach the developer's PostgreSQL through the relay.
 * Run it alone: deno test -A tests/hostile/cross_site_relay_test.ts
 */
import { assertEquals } from "@std/assert";
import { startRelay } from "../../src/library/testing/relay/relay.ts";
import { echo, Peer } from "../support/relay_peers.ts";
import { findChromium, startChromium } from "../support/chromium.ts";

const program = await findChromium();

/** What the page sees: "open", or the event that came instead. */
function openInPage(url: string): string {
  return `new Promise((resolve) => {
    const socket = new WebSocket(${JSON.stringify(url)});
    socket.onopen = () => resolve("open");
    socket.onerror = () => resolve("error");
  })`;
}

Deno.test({
  name:
    "a page of another site gets no socket through the relay, even if it knows the relay's path",
  ignore: program === undefined,
  timeout: 120_000,
  async fn() {
    let reached = 0;
    await using database = new Peer(async (connection) => {
      reached++;
      await echo(connection);
    });
    await using relay = await startRelay({ targets: database.targets });
    await using page = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => new Response("<title>evil</title>", { headers: { "content-type": "text/html" } }),
    );
    await using chromium = await startChromium(program!);
    // Chromium resolves every name below localhost to this machine, as a rebound name would.
    for (const host of ["localhost", "evil.localhost", "127.0.0.1"]) {
      await chromium.open(`http://${host}:${page.addr.port}/`);
      const { port } = relay;
      for (const relayUrl of [relay.url, `ws://127.0.0.1:${port}/v1`, `ws://localhost:${port}/`]) {
        const seen = await chromium.evaluate(
          openInPage(`${relayUrl}?address=${database.address}`),
        );
        assertEquals(seen, "error", `${host} ${relayUrl}`);
      }
    }
    // A sandboxed frame and a file have the origin "null".
    await chromium.open("data:text/html,<title>evil</title>");
    assertEquals(
      await chromium.evaluate(openInPage(`${relay.url}?address=${database.address}`)),
      "error",
    );
    assertEquals(reached, 0);
    // The service itself, which sends no Origin, is served.
    const service = new WebSocket(`${relay.url}?address=${database.address}`);
    await new Promise((resolve) => service.onopen = resolve);
    const closed = new Promise((resolve) => service.onclose = resolve);
    service.close();
    await closed;
    assertEquals(reached, 1);
  },
});
