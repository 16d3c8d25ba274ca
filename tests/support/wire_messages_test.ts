import { assertEquals } from "@std/assert";
import type { Direction } from "../../src/library/testing/relay/relay_link.ts";
import { Conversation } from "./fault_conversation.ts";
import { concat, encodeMessage, MessageSplitter, type WireMessage } from "./wire_messages.ts";

const PROTOCOL_3_0 = 196608;
const CANCEL = 80877102;
const SSL = 80877103;

const toServer = [
  first(PROTOCOL_3_0, "user\0ann\0database\0app\0\0"),
  encodeMessage("p", "secret\0"),
  encodeMessage("P", "\0BEGIN isolation level serializable\0\0\0"),
  encodeMessage("B", "\0\0\0\0\0\0\0\0"),
  encodeMessage("D", "P\0"),
  encodeMessage("E", "\0\0\0\0\0"),
  encodeMessage("P", "\0Commit\0\0\0"),
  encodeMessage("B", "\0\0\0\0\0\0\0\0"),
  encodeMessage("E", "\0\0\0\0\0"),
  encodeMessage("S", ""),
  encodeMessage("Q", "select 'äöü'\0"),
  encodeMessage("X", ""),
];

const toClient = [
  encodeMessage("R", "\0\0\0\x03"),
  encodeMessage("R", "\0\0\0\0"),
  encodeMessage("S", "TimeZone\0UTC\0"),
  encodeMessage("K", "\0\0\0\x01\0\0\0\x02"),
  encodeMessage("Z", "I"),
  encodeMessage("1", ""),
  encodeMessage("2", ""),
  encodeMessage("n", ""),
  encodeMessage("C", "BEGIN\0"),
  encodeMessage("1", ""),
  encodeMessage("E", "SFEHLER\0VERROR\0C40001\0Mno\0\0"),
  encodeMessage("Z", "E"),
  encodeMessage("T", "\0\0"),
  encodeMessage("D", "x".repeat(5_000)),
  encodeMessage("C", "SELECT 1\0"),
  encodeMessage("Z", "I"),
];

Deno.test("the messages are the same however the bytes are divided", () => {
  const expected = [
    "Startup user ann database app",
    "Password ",
    "Parse BEGIN isolation level serializable",
    "Bind ",
    "Describe ",
    "Execute ",
    "Parse Commit",
    "Bind ",
    "Execute ",
    "Sync ",
    "Query select 'äöü'",
    "Terminate ",
  ];
  const answers = [
    "Authentication CleartextPassword",
    "Authentication Ok",
    "ParameterStatus TimeZone=UTC",
    "BackendKeyData ",
    "ReadyForQuery I",
    "ParseComplete ",
    "BindComplete ",
    "NoData ",
    "CommandComplete BEGIN",
    "ParseComplete ",
    "ErrorResponse ERROR 40001 no",
    "ReadyForQuery E",
    "RowDescription ",
    "DataRow ",
    "CommandComplete SELECT 1",
    "ReadyForQuery I",
  ];
  for (let round = 0; round < 200; round++) {
    const splitter = new MessageSplitter();
    const cuts = round === 0 ? () => 1 : () => 1 + Math.floor(Math.random() * 2 ** (round % 13));
    for (
      const [direction, sent, said] of [
        ["toServer", toServer, expected],
        ["toClient", toClient, answers],
      ] as const
    ) {
      const messages = splitIn(splitter, { direction, bytes: concat(sent), cuts });
      assertEquals(messages.map(({ kind, text }) => `${kind} ${text}`), said);
      assertEquals(messages.map(({ bytes }) => bytes), [...sent]);
      assertEquals(splitter.rest(direction).length, 0);
    }
  }
});

Deno.test("an answer is about its statement, and ReadyForQuery about the whole flight", () => {
  const splitter = new MessageSplitter();
  const conversation = new Conversation();
  const statements = (direction: Direction, sent: readonly Uint8Array[]) =>
    splitter.split(direction, concat(sent)).map((message) => conversation.statementOf(message));
  const begin = "BEGIN isolation level serializable";
  assertEquals(statements("toServer", toServer), [
    ...["", "", begin, begin, begin, begin, "Commit", "Commit", "Commit"],
    ...[`${begin}\nCommit`, "select 'äöü'", ""],
  ]);
  assertEquals(statements("toClient", toClient), [
    ...["", "", "", "", "", begin, begin, begin, begin, "Commit", "Commit", `${begin}\nCommit`],
    ...["select 'äöü'", "select 'äöü'", "select 'äöü'", "select 'äöü'"],
  ]);
});

Deno.test("requests in place of a startup, or before it, are distinguished", () => {
  const cancel = new MessageSplitter();
  assertEquals(kindsOf(cancel.split("toServer", first(CANCEL, "12345678"))), ["CancelRequest"]);

  const plain = new MessageSplitter();
  assertEquals(kindsOf(plain.split("toServer", first(SSL, ""))), ["SSLRequest"]);
  assertEquals(kindsOf(plain.split("toClient", Uint8Array.of(0x4e))), ["EncryptionAnswer"]);
  assertEquals(kindsOf(plain.split("toServer", toServer[0]!)), ["Startup"]);
  assertEquals(kindsOf(plain.split("toClient", toClient[0]!)), ["Authentication"]);

  const encrypted = new MessageSplitter();
  encrypted.split("toServer", first(SSL, ""));
  assertEquals(kindsOf(encrypted.split("toClient", Uint8Array.of(0x53))), ["EncryptionAnswer"]);
  assertEquals(kindsOf(encrypted.split("toServer", Uint8Array.of(22, 3, 1))), ["Unknown"]);
});

Deno.test("bytes that are no message pass unchanged, and an incomplete message is kept", () => {
  const splitter = new MessageSplitter();
  splitter.split("toServer", toServer[0]!);
  const [message] = splitter.split("toServer", new TextEncoder().encode("GET / HTTP/1.1"));
  assertEquals([message?.kind, message?.bytes.length], ["Unknown", 14]);

  const cutOff = new MessageSplitter();
  assertEquals(cutOff.split("toClient", toClient[2]!.subarray(0, 9)), []);
  assertEquals(cutOff.rest("toClient"), toClient[2]!.subarray(0, 9));
});

Deno.test("the cost of a long message in small pieces is linear in its length", () => {
  const splitter = new MessageSplitter();
  splitter.split("toServer", toServer[0]!);
  const size = 64 * 1024 * 1024;
  const header = new Uint8Array(5);
  header[0] = "D".charCodeAt(0);
  new DataView(header.buffer).setInt32(1, size + 4);
  splitter.split("toClient", header);
  const piece = new Uint8Array(4 * 1024);
  let messages: WireMessage[] = [];
  for (let sent = 0; sent < size; sent += piece.length) {
    messages = splitter.split("toClient", piece);
  }
  assertEquals([messages[0]?.kind, messages[0]?.bytes.length], ["DataRow", size + 5]);
});

function first(code: number, body: string): Uint8Array {
  const bytes = new Uint8Array(8 + body.length);
  new DataView(bytes.buffer).setInt32(0, bytes.length);
  new DataView(bytes.buffer).setInt32(4, code);
  bytes.set(new TextEncoder().encode(body), 8);
  return bytes;
}

function splitIn(
  splitter: MessageSplitter,
  { direction, bytes, cuts }: { direction: Direction; bytes: Uint8Array; cuts: () => number },
): WireMessage[] {
  const messages: WireMessage[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = start + cuts();
    messages.push(...splitter.split(direction, bytes.subarray(start, end)));
    start = end;
  }
  return messages;
}

function kindsOf(messages: readonly WireMessage[]): string[] {
  return messages.map(({ kind }) => kind);
}
