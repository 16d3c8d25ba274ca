import { assertEquals } from "@std/assert";
import { refuseHost } from "../../src/http/host.ts";
import { PROTECTIVE_HEADERS } from "../../src/http/response_headers.ts";

Deno.test("a refusal that reaches no route has the headers of every other response", () => {
  const { headers } = refuseHost();
  for (const [name, value] of Object.entries(PROTECTIVE_HEADERS)) {
    assertEquals(headers.get(name), value);
  }
});
