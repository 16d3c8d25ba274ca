/** Logins by SCRAM to a real server: passwords beyond ASCII, channel binding, and what the environment must not change. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import type { Socket } from "node:net";
import { ConnectError } from "../../src/db/mod.ts";
import { certificateHash } from "../../src/library/deno/certificate_hash.ts";
import { logIn } from "./login.ts";
import { TcpHop } from "../support/tcp_hop.ts";
import { startTlsMiddle } from "../support/tls_middle.ts";
import { startTlsPostgres } from "../support/tls_postgres.ts";

const server = await startTlsPostgres();
Deno.test.afterAll(async () => await server[Symbol.asyncDispose]());

const role = "user_service_scram";

const LOGIN = join(import.meta.dirname!, "login.ts");

async function refusalOf(url: string | URL): Promise<string> {
  return (await assertRejects(() => logIn(url), ConnectError)).message;
}

Deno.test("a password beyond ASCII is prepared as the server has prepared it", async () => {
  const given = new URL(server.url("", { role }));
  try {
    for (
      const password of [
        "e\u0301te\u0301",
        "a\u00a0b",
        "\ufb01n",
        "a\u00adb",
        "\u{1f600}\ufb01",
        "\u2028\ufb01",
        "%41@:/?#[]&= +\u20ac",
        "x".repeat(5_000),
      ]
    ) {
      await server.run(`alter role ${role} password '${password}'`);
      const url = new URL(given);
      url.password = encodeURIComponent(password);
      await logIn(url);
      url.password += "x";
      assertMatch(await refusalOf(url), /password authentication failed/);
    }
  } finally {
    await server.run(`alter role ${role} password '${given.password}'`);
  }
});

Deno.test("a URL without a password is refused with that reason, where the server asks for SCRAM", async () => {
  const url = new URL(server.url("", { role }));
  url.password = "";
  assertMatch(await refusalOf(url), /asks for a password, and the URL has none/);
});

Deno.test("the variables of libpq change no login", async () => {
  const url = new URL(server.url("sslmode=disable", { role, host: "127.0.0.1" }));
  const startups: string[] = [];
  await using hop = await TcpHop.to(url.href, {
    onClientData: (index, chunk) => startups[index] ??= new TextDecoder().decode(chunk),
  });
  url.port = String(hop.port);
  const withoutPassword = new URL(url);
  withoutPassword.password = "";
  // In a process of its own: the variables would hold for tests that run at the same time.
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", LOGIN, url.href, withoutPassword.href],
    env: {
      PGPASSWORD: url.password,
      PGOPTIONS: "-c search_path=elsewhere",
      PGREPLICATION: "database",
      PGCLIENT_ENCODING: "LATIN1",
    },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const [refusal, refusalWithout] = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals(refusal, null);
  assertMatch(refusalWithout, /the URL has none/);
  assert(!/elsewhere|replication|LATIN1/.test(startups[0]!), startups[0]);
  assert(startups.every((each) => each === startups[0]));
});

for (const sslmode of ["prefer", "require", "verify-full"]) {
  Deno.test(`channel_binding=require is met over TLS with sslmode=${sslmode}`, async () => {
    const query = `channel_binding=require&sslmode=${sslmode}`;
    await logIn(server.url(`${query}&sslrootcert=${server.authority}`, { role }));
  });
}

Deno.test("channel_binding=require refuses a login without it, and sends no password", async () => {
  const sent: string[] = [];
  const target = server.url("", { host: "127.0.0.1" });
  // The role logs in by a password in clear text.
  assertMatch(
    await refusalOf(server.url("channel_binding=require")),
    /needs SCRAM, which the server has not asked for/,
  );
  // A server that does not ask at all, or for MD5.
  for (const asked of [[0, 0, 0, 8, 0, 0, 0, 0], [0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4]]) {
    await using hop = await TcpHop.answering((client: Socket) => {
      client.on("data", (chunk) => sent.push(new TextDecoder().decode(chunk as Uint8Array)));
      client.once("data", () => {
        client.once("data", () => client.write(Uint8Array.of(0x52, ...asked)));
        client.write("N");
      });
    });
    const url = new URL(target);
    url.port = String(hop.port);
    url.search = "channel_binding=require";
    assertMatch(await refusalOf(url), /needs SCRAM, which the server has not asked for/);
    // SSLRequest and the startup message.
    assertEquals(sent.splice(0).length, 2);
  }
  await using hop = await TcpHop.answering((client: Socket) => {
    client.once("data", () => {
      client.once("data", () => {
        const offer = "\0\0\0\x0aSCRAM-SHA-256\0\0";
        client.write(`R\0\0\0${String.fromCharCode(4 + offer.length)}${offer}`, "latin1");
      });
      client.write("N");
    });
  });
  const url = new URL(target);
  url.port = String(hop.port);
  url.search = "channel_binding=require";
  assertMatch(await refusalOf(url), /offers SCRAM-SHA-256, and there is no certificate to bind/);
});

Deno.test("channel_binding=require and a password that is sent unasked exclude one another", async () => {
  const url = server.url("channel_binding=require", { role });
  await assertRejects(
    () => logIn(url, { pipelineConnect: true }),
    TypeError,
    "DATABASE_PIPELINE_CONNECT=off",
  );
});

Deno.test("a login is not passed on by somebody in the middle, whose certificate is another one", async () => {
  await using middle = await startTlsMiddle(server);
  const url = new URL(server.url("", { role, host: "localhost" }));
  url.port = String(middle.port);
  // Without channel binding, sslmode=require notices nothing.
  url.search = "sslmode=require&channel_binding=disable";
  await logIn(url);
  for (const binding of ["prefer", "require"]) {
    url.search = `sslmode=require&channel_binding=${binding}`;
    assertMatch(await refusalOf(url), /SCRAM channel binding check failed/);
  }
});

Deno.test("somebody in the middle cannot cut out the server's offer of channel binding", async () => {
  const cut = (bytes: Uint8Array) => {
    const text = new TextDecoder("latin1").decode(bytes);
    if (!text.startsWith("R") || !text.includes("-PLUS\0")) return bytes;
    const offer = "\0\0\0\x0aSCRAM-SHA-256\0\0";
    const changed = `R\0\0\0${String.fromCharCode(4 + offer.length)}${offer}`;
    return Uint8Array.from(changed, (char) => char.charCodeAt(0));
  };
  await using middle = await startTlsMiddle(server, cut);
  const url = new URL(server.url("", { role, host: "localhost" }));
  url.port = String(middle.port);
  url.search = "sslmode=require&channel_binding=prefer";
  assertMatch(await refusalOf(url), /SCRAM channel binding negotiation error/);
  url.search = "sslmode=require&channel_binding=require";
  assertMatch(await refusalOf(url), /channel_binding=require needs TLS and a server that offers/);
});

/** Authentication messages. */
function authentication(code: number, data = ""): Uint8Array {
  const body = [0, 0, 0, code, ...new TextEncoder().encode(data)];
  return Uint8Array.of(0x52, 0, 0, 0, 4 + body.length, ...body);
}

for (
  const [name, messages] of [
    ["ends SCRAM before its own proof", [[10, "SCRAM-SHA-256\0\0"], [0]]],
    ["proves nothing", [[10, "SCRAM-SHA-256\0\0"], [12, "v=AAAA"], [0]]],
    ["goes on with what it has not begun", [[11, "r=x,s=AAAA,i=1"]]],
    ["ends what it has not begun", [[12, "v=AAAA"], [0]]],
  ] as [string, [number, string?][]][]
) {
  Deno.test(`a server that ${name} is refused`, async () => {
    await using hop = await TcpHop.answering((client: Socket) => {
      client.once("data", () => {
        for (const [code, data] of messages) client.write(authentication(code, data));
      });
    });
    const url = `postgresql://user:password@127.0.0.1:${hop.port}/database?sslmode=disable`;
    assertMatch(
      await refusalOf(url),
      /without showing that it knows the password|login is out of order/,
    );
  });
}

Deno.test("the hash of a certificate is that of its signature, and there is none for what names none", () => {
  // A certificate of no content, whose algorithm is the identifier.
  const withAlgorithm = (oid: string) => {
    const bytes = Uint8Array.fromHex(oid);
    const algorithm = [0x30, bytes.length + 2, 6, bytes.length, ...bytes];
    const content = [0x30, 0x82, 1, 4, ...new Uint8Array(260)];
    const length = content.length + algorithm.length;
    return Uint8Array.of(0x30, 0x82, length >> 8, length & 255, ...content, ...algorithm);
  };
  for (
    const [oid, bytes] of [
      ["2a864886f70d010104", 32],
      ["2a864886f70d010105", 32],
      ["2a864886f70d01010b", 32],
      ["2a864886f70d01010c", 48],
      ["2a864886f70d01010d", 64],
      ["2a8648ce3d040302", 32],
      ["2a8648ce3d040304", 64],
      // RSASSA-PSS, Ed25519.
      ["2a864886f70d01010a", undefined],
      ["2b6570", undefined],
    ] as const
  ) assertEquals(certificateHash(withAlgorithm(oid))?.length, bytes, oid);
});
