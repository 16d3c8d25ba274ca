import { assertEquals, assertRejects } from "@std/assert";
import { HttpConnection, isWhole } from "./http_connection.ts";

Deno.test("an answer is whole once its length or its last chunk has arrived, and not before", () => {
  const answers = [
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nDate: x\r\n\r\nbody",
    "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
  ];
  for (const answer of answers) {
    for (let end = 0; end < answer.length; end++) {
      assertEquals(isWhole(answer.slice(0, end)), false, answer.slice(0, end));
    }
    assertEquals(isWhole(answer), true);
  }
});

Deno.test("a connection that the server has closed is an error, and the next request opens another", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using connection = new HttpConnection(listener.addr.port);
  const refused = connection.ask("GET / HTTP/1.1\r\n\r\n");
  (await listener.accept()).close();
  await assertRejects(() => refused);
  const answered = connection.ask("GET / HTTP/1.1\r\n\r\n");
  const socket = await listener.accept();
  await socket.read(new Uint8Array(100));
  await socket.write(
    new TextEncoder().encode("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
  );
  assertEquals(await answered, 204);
  socket.close();
  listener.close();
});
