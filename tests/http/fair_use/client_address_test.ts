import { assertEquals } from "@std/assert";
import { Hono } from "hono";
import { clientAddress } from "../../../src/http/fair_use/client_address.ts";

async function addressOf(
  header: string | undefined,
  sent: Record<string, string>,
  { peer }: { peer: string | undefined } = { peer: "192.0.2.1" },
): Promise<string | undefined> {
  const of = clientAddress({ header, peerOf: () => peer });
  let address: string | undefined = "unset";
  const app = new Hono().get("/", (c) => {
    address = of(c);
    return c.body(null);
  });
  await app.request("/", { headers: sent });
  return address;
}

Deno.test("without CLIENT_ADDRESS_HEADER no header changes a client's address", async () => {
  const forged = { "X-Forwarded-For": "203.0.113.9", "CF-Connecting-IP": "203.0.113.9" };
  assertEquals(await addressOf(undefined, forged), "192.0.2.1");
});

Deno.test("of X-Forwarded-For the last entry counts, which the proxy has written", async () => {
  const header = "X-Forwarded-For";
  for (
    const [sent, address] of [
      ["203.0.113.9", "203.0.113.9"],
      ["198.51.100.1, 203.0.113.9", "203.0.113.9"],
      ["198.51.100.1,203.0.113.9 ", "203.0.113.9"],
      ["203.0.113.9:4711", "203.0.113.9"],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
      ["[2001:db8:1:2:3:4:5:6]:4711", "2001:db8:1:2::/64"],
      ["[2001:db8:1:2::6]", "2001:db8:1:2::/64"],
      ["", "192.0.2.1"],
      ["203.0.113.9,", "192.0.2.1"],
    ] as const
  ) assertEquals(await addressOf(header, { [header]: sent }), address, sent);
});

Deno.test("a request without the header counts by its connection, or not at all", async () => {
  assertEquals(await addressOf("X-Real-IP", {}), "192.0.2.1");
  assertEquals(await addressOf("CF-Connecting-IP", {}, { peer: undefined }), undefined);
});

Deno.test("what is no address is a key of bounded length", async () => {
  for (
    const sent of ["x".repeat(5_000), ":".repeat(5_000), "[".repeat(900), "unknown", "::%eth0"]
  ) {
    const address = await addressOf("X-Real-IP", { "X-Real-IP": sent });
    assertEquals((address?.length ?? 0) <= 60, true, address);
  }
});
