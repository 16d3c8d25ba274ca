/** Whom the relay refuses before it dials: web pages, foreign names, unknown paths, other addresses. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { addressOf } from "../../../../src/library/testing/relay/admission.ts";
import {
  echo,
  pathOf,
  Peer,
  relayTo,
  upgradeAnswer,
  writeAll,
} from "../../../support/relay_peers.ts";

function relayTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, timeout: 20_000 });
}

relayTest("an address that the relay was not started for is a 403", async () => {
  await using server = new Peer(echo);
  await using relay = await relayTo(server);
  const answer = await upgradeAnswer(relay, `${pathOf(relay)}?address=127.0.0.1:1`);
  assertMatch(answer, /^HTTP\/1.1 403 /);
  assertStringIncludes(
    answer,
    `the relay serves only ${server.targets.map(addressOf).join(", ")}, not "127.0.0.1:1"`,
  );
  assertMatch(await upgradeAnswer(relay, pathOf(relay)), /^HTTP\/1.1 403 /);
});

relayTest("an unknown path is a 404, and a request without an upgrade is a 426", async () => {
  await using server = new Peer(echo);
  await using relay = await relayTo(server);
  assertMatch(await upgradeAnswer(relay, `/v2?address=${server.address}`), /^HTTP\/1.1 404 /);
  for (const [path, status] of [["/v2", 404], ["/v1", 404], [pathOf(relay), 426]] as const) {
    const response = await fetch(`http://127.0.0.1:${relay.port}${path}`);
    assertMatch(await response.text(), /^the relay (?:has another path|speaks WebSocket)/);
    assertEquals(response.status, status);
  }
});

relayTest("an upgrade with an Origin is a 403, whatever else it knows", async () => {
  await using server = new Peer(echo);
  await using relay = await relayTo(server);
  const path = `${pathOf(relay)}?address=${server.address}`;
  const origins = ["https://evil.example", "null", "", `http://127.0.0.1:${relay.port}`];
  for (const origin of origins) {
    const answer = await upgradeAnswer(relay, path, { host: `127.0.0.1\r\nOrigin: ${origin}` });
    assertMatch(answer, /^HTTP\/1.1 403 /, origin);
    assertStringIncludes(answer, "the relay serves no web page");
  }
});

relayTest("a Host that does not name this machine is a 403", async () => {
  await using server = new Peer(echo);
  await using relay = await relayTo(server);
  const path = `${pathOf(relay)}?address=${server.address}`;
  const { port } = relay;
  for (
    const host of [
      "evil.example",
      `evil.example:${port}`,
      `127.0.0.1.evil.example:${port}`,
      "localhost.evil.example",
      "evil.example/127.0.0.1",
      "127.0.0.1@evil.example",
      "[::2]",
      "0.0.0.0",
      "",
    ]
  ) {
    const answer = await upgradeAnswer(relay, path, { host });
    assertMatch(answer, /^HTTP\/1.1 403 /, host);
    assertStringIncludes(answer, "the relay serves only this machine");
  }
  for (const host of ["localhost", `localhost:${port}`, `db.localhost:${port}`, `[::1]:${port}`]) {
    // The handshake itself is refused, by `ws`: the Host was accepted.
    const answer = await upgradeAnswer(relay, path, { host, version: "Sec-WebSocket-Version: 1" });
    assertMatch(answer, /^HTTP\/1.1 400 /, host);
  }
});

relayTest(
  "no path but the one with the relay's secret is served, and no answer shows it",
  async () => {
    await using server = new Peer(echo);
    await using relay = await relayTo(server);
    await using other = await relayTo(server);
    assertMatch(pathOf(relay), /^\/v1\/[0-9a-f]{32}$/);
    assertNotEquals(pathOf(relay), pathOf(other));
    const secret = pathOf(relay);
    const paths = [
      "/",
      "//",
      "/v1",
      "/v1/",
      pathOf(other),
      secret.slice(0, -1),
      `${secret}0`,
      `${secret}/`,
      secret.toUpperCase(),
      `/${secret}`,
      `http://127.0.0.1${secret}`,
      "*",
    ];
    for (const path of paths) {
      const answer = await upgradeAnswer(relay, `${path}?address=${server.address}`);
      assertMatch(answer, /^HTTP\/1.1 404 /, path);
      assert(!answer.includes(secret), answer);
    }
  },
);

relayTest("a plain request for any target is answered, and leaves the relay running", async () => {
  await using server = new Peer(echo);
  await using relay = await relayTo(server);
  for (const target of ["//", "///x", "*", "http://[", "/v1?address=%"]) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: relay.port });
    const request = `GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    await writeAll(connection, new TextEncoder().encode(request));
    assertMatch(await new Response(connection.readable).text(), /^HTTP\/1.1 40[04] /, target);
  }
});
