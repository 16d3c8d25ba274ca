import { assert, assertEquals, assertFalse, assertMatch, assertThrows } from "@std/assert";
import { type DatabaseAddress, databaseAddress } from "../../src/library/database_address.ts";
import { parseSettings, SettingsError } from "../../src/settings/settings.ts";

const RELAY = "ws://127.0.0.1:7000";

function parse(url: string): string {
  return parseSettings({ DATABASE_URL: url, DATABASE_WS_PROXY: RELAY }).database.url;
}

function problemOf(url: string): string {
  const { message, problems } = assertThrows(() => parse(url), SettingsError);
  assertEquals(problems.length, 1, message);
  return message;
}

Deno.test("DATABASE_URL is accepted unchanged if it has a host, a user and a database", () => {
  const urls = [
    "postgresql://app:pw@db.internal/main",
    "postgres://app@db.internal:6543/main",
    "postgresql://app:@10.0.0.1/main",
    "postgresql://app:pw@[::1]:5432/main",
    "postgresql://a%40b:p%2Fw%23%3F@db.internal/m%20n",
    "postgresql://app:pw@db.internal/main?sslmode=verify-full",
    "postgresql://app:pw@db.internal/main?channel_binding=prefer&sslmode=disable",
  ];
  for (const url of urls) assertEquals(parse(url), url);
});

Deno.test("a password with a reserved character that changes the URL is refused with the way to encode it", () => {
  for (const char of "/?#@% ") {
    for (const password of [`s3cret${char}x`, `${char}s3cret`, `12${char}s3cret`]) {
      const raw = `postgresql://app:${password}@db/main`;
      const message = problemOf(raw);
      assertMatch(message, /encodeURIComponent\(\)/, raw);
      for (const each of ":/?#[]@$&+,;=%") assert(message.includes(` ${each} `), each);
      const encoded = `postgresql://app:${encodeURIComponent(password)}@db/main`;
      assertEquals(parse(encoded), encoded);
    }
  }
});

Deno.test("an error about DATABASE_URL names the part that is wrong", () => {
  const urls: readonly [url: string, reason: string][] = [
    ["mysql://app:s3cret@db/main", "does not begin with"],
    ["app:s3cret@db/main", "does not begin with"],
    ["POSTGRES://app:s3cret@db/main", "does not begin with"],
    ["postgresql://", "not a URL|no user"],
    ["postgresql://:s3cret@db/main", "no user"],
    ["postgresql://db/main", "no user"],
    ["postgresql://app:s3cret@/main", "not a URL|no host"],
    ["postgresql:///main", "no user"],
    ["postgresql://app:s3cret@db", "no single database"],
    ["postgresql://app:s3cret@db/", "no single database"],
    ["postgresql://app:s3cret@db/main/s3cret", "no single database"],
    ["postgresql://app:s3cret@db:0/main", "port is 0"],
    ["postgresql://app:s3cret@db:99999/main", "not a URL"],
    ["postgresql://app:s3cret@db:port/main", "not a URL"],
    ["postgresql://app:s3cret@db/main#s3cret", "contains a #"],
    ["postgresql://app:%zzs3cret@db/main", "its password is not percent-encoded"],
    ["postgresql://app:s3cret%ff@db/main", "its password is not percent-encoded"],
    ["postgresql://%E0app:s3cret@db/main", "its user is not percent-encoded"],
    ["postgresql://app:s3cret@db/%", "its database is not percent-encoded"],
    ["postgresql://app:s3cret%00@db/main", "password contains a NUL"],
    [" postgresql://app:s3cret@db/main", "does not begin with"],
    ["postgresql://app:s3cret@db/main ", "white space"],
    ["postgresql://app:s3 cret@db/main", "white space"],
    ["postgresql://app:s3cret@db/main\n", "white space"],
    ["postgresql://app:s3@s3cret@db/main", "more than one @"],
    ["postgresql://app:s3cret/@db/main", "not a URL"],
    ["postgresql://app:s3cret#x@db/main", "not a URL"],
    ["postgresql://app:s3cret?x@db/main", "not a URL"],
    ["postgresql://app:12/s3cret@db/main", "no user"],
    ["postgresql://app:s3cret@db/main?sslmode=s3cret", "its sslmode is unknown"],
    ["postgresql://app:s3cret@db/main?statement_timeout=s3cret", "a parameter after the ?"],
    ["postgresql://app:s3cret@db/main?s3cret", "a parameter after the ?"],
    ["postgresql://app:s3cret@db/main?toString=1", "a parameter after the ?"],
    ["postgresql://app:s3cret@one,two/main", "several hosts"],
    ["postgresql://app@db/main?sslmode=require&sslmode=disable", "the parameter sslmode twice"],
    // It would hide where the URL leads.
    ["postgresql://app@localhost/main?host=s3cret.example", "its host cannot be used"],
    ["postgresql://app@localhost/main?host=/s3cret%00", "its host cannot be used"],
    ["postgresql://app@/main?host=/s3cret", "no host before its parameter host"],
    ["postgresql://app@/main?sslmode=disable&host=/s3cret", "no host before its parameter host"],
    ["postgresql://app@%2Fs3cret%00/main", "its host contains a NUL"],
    ["postgresql://app@%2Fs3cret%ff/main", "its host is not percent-encoded"],
    ["postgresql://app@db/main?sslrootcert=", "its sslrootcert cannot be used"],
  ];
  for (const [url, reason] of urls) {
    const message = problemOf(url);
    assert(new RegExp(reason.replaceAll("?", "\\?")).test(message), `${url}: ${message}`);
    assertFalse(message.includes("s3cret"), message);
  }
});

Deno.test("the address of a database is a name, an IP address without brackets, or the path of a Unix socket", () => {
  const run = "/var/run/postgresql";
  const cases: readonly [url: string, address: DatabaseAddress][] = [
    ["postgresql://a@db.internal/b", { host: "db.internal", port: 5432 }],
    ["postgresql://a@[::1]:6000/b", { host: "::1", port: 6000 }],
    ["postgresql://a@%2Fvar%2Frun%2Fpostgresql/b", {
      host: run,
      port: 5432,
      socketPath: `${run}/.s.PGSQL.5432`,
    }],
    ["postgresql://a@%2fvar%2frun%2fpostgresql%2f:6000/b", {
      host: `${run}/`,
      port: 6000,
      socketPath: `${run}/.s.PGSQL.6000`,
    }],
    [`postgresql://a@localhost:6000/b?host=${run}`, {
      host: "localhost",
      port: 6000,
      socketPath: `${run}/.s.PGSQL.6000`,
    }],
  ];
  for (const [url, address] of cases) {
    assertEquals(databaseAddress(parseSettings({ DATABASE_URL: url }).database.url), address);
  }
});
