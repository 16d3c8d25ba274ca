/** TCP, TLS and Unix sockets to a real server, by the parameters of libpq: what is accepted, and what is refused. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import type { Socket } from "node:net";
import { ConnectError } from "../../src/db/mod.ts";
import { createDriver } from "../../src/library/create_driver.ts";
import { denoSockets } from "../../src/library/deno/sockets.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { localDatabase } from "../support/local_database.ts";
import { TcpHop } from "../support/tcp_hop.ts";
import { startTlsPostgres } from "../support/tls_postgres.ts";
import { driverCases } from "../db/driver/driver_cases.ts";

const server = await startTlsPostgres();
Deno.test.afterAll(async () => await server[Symbol.asyncDispose]());

async function connect(url: string, { timeoutMs = 5_000 } = {}) {
  const connection = await createDriver({ url }, denoSockets).connect({ timeoutMs });
  await connection.ready;
  return connection;
}

async function isEncrypted(url: string): Promise<unknown> {
  const connection = await connect(url);
  const { results } = await connection.flight([
    { text: "select ssl from pg_stat_ssl where pid = pg_backend_pid()", values: [] },
  ]);
  await connection.close({ timeoutMs: 5_000 });
  return results[0]!.rows[0]!["ssl"];
}

async function refusalOf(url: string, options?: { timeoutMs: number }): Promise<string> {
  const { message } = await assertRejects(() => connect(url, options), ConnectError);
  return message;
}

const { authority, otherAuthority } = server;

for (
  const [query, host, expected] of [
    ["", "localhost", true],
    ["sslmode=disable", "localhost", false],
    ["sslmode=allow", "localhost", true],
    ["sslmode=prefer", "127.0.0.1", true],
    ["sslmode=require", "127.0.0.1", true],
    ["sslmode=require&channel_binding=prefer", "localhost", true],
    [`sslmode=prefer&sslrootcert=${authority}`, "127.0.0.1", true],
    [`sslmode=require&sslrootcert=${authority}`, "127.0.0.1", true],
    [`sslmode=verify-ca&sslrootcert=${authority}`, "127.0.0.1", true],
    [`sslmode=verify-full&sslrootcert=${authority}`, "localhost", true],
    [`sslmode=disable&sslrootcert=${otherAuthority}`, "localhost", false],
  ] as const
) {
  Deno.test(`a server with TLS is reached by ${host} with ${nameOf(query)}, encrypted: ${expected}`, async () => {
    assertEquals(await isEncrypted(server.url(query, { host })), expected);
    const role = "user_service_scram";
    assertEquals(await isEncrypted(server.url(query, { host, role })), expected);
  });
}

for (
  const [query, host, reason] of [
    [`sslmode=verify-full&sslrootcert=${authority}`, "127.0.0.1", /does not match/],
    [`sslmode=verify-full&sslrootcert=${otherAuthority}`, "localhost", /unable to verify/],
    [`sslmode=verify-ca&sslrootcert=${otherAuthority}`, "localhost", /unable to verify/],
    [`sslmode=require&sslrootcert=${otherAuthority}`, "localhost", /unable to verify/],
    [`sslmode=prefer&sslrootcert=${otherAuthority}`, "localhost", /unable to verify/],
    ["sslmode=verify-full", "localhost", /unable to verify/],
    ["sslmode=verify-ca", "localhost", /unable to verify/],
    ["sslrootcert=system", "localhost", /unable to verify/],
  ] as const
) {
  Deno.test(`a certificate is refused for ${host} with ${nameOf(query)}`, async () => {
    assertMatch(await refusalOf(server.url(query, { host })), reason);
  });
}

const EXPIRED = /has expired|unable to verify/;

Deno.test("verify-full takes a certificate for an IP address, and none that has ended", async () => {
  const full = `sslmode=verify-full&sslrootcert=${authority}`;
  const ended = { dnsNames: ["localhost"], endsAt: "20200102000000Z" };
  const ipv6 = [...new Uint8Array(15), 1];
  for (
    const [certificate, host, reason] of [
      [{ dnsNames: [], addresses: [[127, 0, 0, 1]] }, "127.0.0.1", undefined],
      [{ dnsNames: [], addresses: [[127, 0, 0, 2]] }, "127.0.0.1", /does not match/],
      [{ dnsNames: ["127.0.0.1"], addresses: [ipv6] }, "127.0.0.1", /does not match/],
      [{ dnsNames: ["*.localhost"] }, "localhost", /does not match/],
      [{ dnsNames: ["localhost.example"] }, "localhost", /does not match/],
      [ended, "localhost", EXPIRED],
    ] as const
  ) {
    await server.certify(certificate);
    const url = server.url(full, { host });
    if (reason === undefined) assertEquals(await isEncrypted(url), true);
    else assertMatch(await refusalOf(url), reason);
  }
  assertMatch(
    await refusalOf(server.url(`sslmode=prefer&sslrootcert=${authority}`)),
    EXPIRED,
  );
  assertEquals(await isEncrypted(server.url("sslmode=require")), true);
  await server.certify({ dnsNames: ["localhost"] });
  assertEquals(await isEncrypted(server.url(full)), true);
});

function nameOf(query: string): string {
  return query.replace(authority, "its authority").replace(otherAuthority, "another authority") ||
    "no parameters";
}

const plain = await localDatabase();

Deno.test("a server without TLS is taken by prefer, and refused by what asks for TLS", async () => {
  await using branch = await plain.connectDirectly();
  const url = `${branch.envOf("user_service_scram").DATABASE_URL}?`;
  assertEquals(await isEncrypted(`${url}sslmode=prefer`), false);
  for (
    const query of [
      "sslmode=require",
      "sslmode=verify-ca",
      "sslmode=verify-full",
      `sslmode=prefer&sslrootcert=${authority}`,
    ]
  ) {
    assertMatch(await refusalOf(url + query), /does not support TLS.*sslmode=disable/);
  }
});

for (
  const [name, answer, reason] of [
    ["unencrypted data behind S", "S\x16", /followed by unencrypted data/],
    ["unencrypted data behind N", "NR", /followed by unencrypted data/],
    [
      "an error message",
      "E\0\0\0\x0bFATAL: pay at evil.example",
      /did not answer .* as PostgreSQL/,
    ],
    ["another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", /did not answer .* as PostgreSQL/],
  ] as const
) {
  Deno.test(`an answer to the request for TLS is refused that is ${name}, and nothing is sent to it`, async () => {
    const sent: number[] = [];
    await using hop = await TcpHop.answering((client: Socket) => {
      client.on("data", (chunk) => sent.push(...(chunk as Uint8Array)));
      client.once("data", () => client.write(answer, "latin1"));
    });
    for (const mode of ["prefer", "require"]) {
      const url = `postgresql://user:password@127.0.0.1:${hop.port}/database?sslmode=${mode}`;
      const message = await refusalOf(url);
      assertMatch(message, reason);
      assert(!message.includes("evil"), message);
      // SSLRequest.
      assertEquals(sent.splice(0), [0, 0, 0, 8, 4, 210, 22, 47]);
    }
  });
}

for (
  const [name, serve, reason] of [
    ["stays silent", () => {}, /no answer within 200 ms/],
    ["hangs up", (client: Socket) => client.destroy(), /Cannot connect/],
    ["ends in order", (client: Socket) => client.end(), /Cannot connect/],
    ["sends what is no TLS", (client: Socket) => client.write("no TLS at all"), /Cannot connect/],
  ] as const
) {
  Deno.test(`a server that agrees to TLS and then ${name} is a ConnectError, and no socket is left`, async () => {
    const hungUp = Promise.withResolvers<void>();
    await using hop = await TcpHop.answering((client: Socket) => {
      client.on("close", () => hungUp.resolve());
      client.once("data", () => {
        client.once("data", () => serve(client));
        client.write("S");
      });
    });
    const url = `postgresql://user:password@127.0.0.1:${hop.port}/database?sslmode=require`;
    assertMatch(await refusalOf(url, { timeoutMs: 200 }), reason);
    await hungUp.promise;
  });
}

for (const { name, run } of driverCases) {
  Deno.test(`over TLS: ${name}`, async () => {
    const role = "user_service_scram";
    const target = server.url("", { role, host: "127.0.0.1" });
    await using hop = await TcpHop.to(target);
    const url = new URL(target);
    url.port = String(hop.port);
    url.hostname = "localhost";
    url.search = `sslmode=verify-full&sslrootcert=${authority}`;
    const newStream = denoSockets.tcpStreams(url.href);
    const streams: { destroy(): void }[] = [];
    const sockets = {
      ...denoSockets,
      tcpStreams: () => () => {
        const stream = newStream();
        streams.push(stream);
        return stream;
      },
    };
    await run({
      driver: createDriver({ url: url.href }, sockets),
      closeSocket: () => streams.at(-1)!.destroy(),
      async cut({ processId }) {
        await server.run(`select pg_terminate_backend(${processId})`);
      },
      hangUp: () => hop.close(),
    });
  });
}

Deno.test("a cancel request is encrypted if its connection is", async () => {
  const firstBytes: number[][] = [];
  await using hop = await TcpHop.to(server.url("", { host: "127.0.0.1" }), {
    onClientData: (index, chunk) => (firstBytes[index] ??= []).push(...chunk),
  });
  const url = new URL(server.url("sslmode=require"));
  url.port = String(hop.port);
  const connection = await connect(url.href);
  const running = connection.flight([{ text: "select pg_sleep(60)", values: [] }]);
  const isRunning = async () => {
    const found = await server.run(
      "select 1 from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'",
    );
    return found.length === 1;
  };
  assert(await pollUntil(isRunning, { deadlineMs: 10_000, intervalMs: 5 }));
  await connection.cancel({ timeoutMs: 5_000 });
  const { error } = await running;
  assertMatch(error!.message, /canceling statement/);
  await connection.close({ timeoutMs: 5_000 });
  // SSLRequest, and then a handshake record of TLS.
  const expected = [0, 0, 0, 8, 4, 210, 22, 47, 22, 3];
  assertEquals(firstBytes.map((bytes) => bytes.slice(0, 10)), [expected, expected]);
});

Deno.test("a frozen peer's connection is closed at its deadline, with and without TLS", async () => {
  for (const mode of ["require", "disable"]) {
    await using hop = await TcpHop.to(server.url("", { host: "127.0.0.1" }));
    const url = new URL(server.url(`sslmode=${mode}`));
    url.port = String(hop.port);
    const connection = await connect(url.href);
    hop.freeze();
    const running = assertRejects(() =>
      connection.flight([{ text: "select $1::text", values: ["x".repeat(10_000_000)] }])
    );
    await connection.close({ timeoutMs: 50 });
    await running;
    assertEquals(connection.state, "closed");
    assertEquals(await connection.closed, undefined);
  }
});

Deno.test("a root certificate that cannot be read, or is none, is refused before anything is sent", async () => {
  const empty = await Deno.makeTempFile();
  for (const path of ["/no/such/file.pem", "/", empty]) {
    const url = server.url(`sslmode=verify-full&sslrootcert=${path}`);
    const { message } = assertThrows(() => createDriver({ url }, denoSockets), TypeError);
    assert(message.includes(JSON.stringify(path)), message);
    assert(!message.includes(new URL(url).password), message);
  }
  await Deno.remove(empty);
});

Deno.test("a Unix socket is reached by its directory, without TLS, and its loss is a ConnectError", async () => {
  const directory = await Deno.makeTempDir();
  const target = new URL(server.url("", { host: "127.0.0.1", role: "user_service_scram" }));
  const path = `${directory}/.s.PGSQL.${target.port}`;
  const login = `${target.username}:${target.password}`;
  const urls = [
    `postgresql://${login}@${encodeURIComponent(directory)}:${target.port}/user_service`,
    `postgresql://${login}@localhost:${target.port}/user_service?sslmode=require&host=${directory}`,
  ];
  {
    await using _hop = await TcpHop.to(target.href, { path });
    for (const url of urls) assertEquals(await isEncrypted(url), false);
  }
  for (const url of urls) assertMatch(await refusalOf(url), /Cannot connect.*ENOENT/);
  await Deno.remove(directory, { recursive: true });
});

Deno.test("an IPv6 address is dialled without its brackets", async () => {
  assertMatch(await refusalOf("postgresql://user:password@[::1]:1/database"), / ::1:1/);
});

Deno.test("statements are prepared over TCP, and sent anew if the server has lost them", async () => {
  const connection = await connect(server.url("sslmode=require"));
  const text = `select $1::int + 1 as "prepared over TCP"`;
  const flight = [{ text: "begin", values: [] }, { text, values: [1] }, {
    text: "commit",
    values: [],
  }];
  for (let turn = 0; turn < 4; turn++) {
    const { results } = await connection.flight(flight);
    assertEquals(results[1]!.rows, [{ "prepared over TCP": 2 }]);
  }
  const prepared = {
    text: "select statement from pg_prepared_statements where statement like '%prepared over TCP%'",
    values: [],
  };
  assertEquals((await connection.flight([prepared])).results[0]!.rows, [{ statement: text }]);
  await connection.flight([{ text: "deallocate all", values: [] }]);
  const { results, error } = await connection.flight(flight);
  assertEquals([error, results[1]!.rows], [undefined, [{ "prepared over TCP": 2 }]]);
  await connection.close({ timeoutMs: 5_000 });
});
