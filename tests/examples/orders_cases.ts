/** What the orders app does, on Deno and in workerd. */
import { assert, assertEquals } from "@std/assert";
import type { RelayObserver } from "../../src/library/testing/relay/relay.ts";
import { jsonRequest, type SendRequest } from "../http/requests.ts";

/** The messages that the app sends to its database. */
export class SentTexts {
  readonly #sent: { readonly id: number; readonly text: string }[] = [];
  readonly observe: RelayObserver = {
    message: (id, direction, bytes) => {
      if (direction === "toServer") {
        this.#sent.push({ id, text: new TextDecoder("latin1").decode(bytes) });
      }
    },
  };

  /**
   * The messages since the last call from the one that contains `first` to the one that contains `last`, which is left
   * out, on the same connection.
   */
  take(first: string, last?: string): string[] {
    const sent = this.#sent.splice(0);
    const start = sent.findIndex(({ text }) => text.includes(first));
    if (start === -1) return [];
    const texts = sent.slice(start).filter(({ id }) => id === sent[start]!.id)
      .map(({ text }) => text);
    const end = last === undefined ? -1 : texts.findIndex((text) => text.includes(last));
    return (end === -1 ? texts : texts.slice(0, end)).filter((text) => !isTerminate(text));
  }
}

/** https://www.postgresql.org/docs/current/protocol-message-formats.html */
function isTerminate(text: string): boolean {
  return text.startsWith("X");
}

export interface OrdersHost {
  readonly request: SendRequest;
  readonly sent: SentTexts;
  /** Runs a statement as the administrator. */
  query(text: string): Promise<Record<string, unknown>[]>;
  /** Resolves when this has been printed. workerd's log has only errors. */
  logged?(text: string): Promise<void>;
}

const MISSING = "00000000-0000-4000-8000-000000000000";

const lamp = {
  name: "Lamp",
  price: "19.90",
  stock: 5,
  tags: ["light", 'a "b", c'],
  attributes: { colour: "red", watts: [5, 7] },
};

async function jsonOf(response: Response, status: number): Promise<unknown> {
  const text = await response.text();
  assertEquals(response.status, status, text);
  return JSON.parse(text);
}

export async function ordersCases(
  t: Deno.TestContext,
  { request, sent, query, logged }: OrdersHost,
): Promise<void> {
  await t.step("500 products are one statement in one round trip, COMMIT included", async () => {
    const products = Array.from({ length: 500 }, (_, index) => ({
      sku: `item-${index}`,
      name: `Item ${index}`,
      price: "0.10",
      stock: 1_000,
      tags: ["bulk", String(index % 2)],
      attributes: { index },
    }));
    sent.take("");
    const post = () => request("/products", jsonRequest("POST", products));
    assertEquals(await jsonOf(await post(), 200), { imported: 500 });
    const messages = sent.take("insert into products");
    assertEquals(messages.length, 1);
    assertEquals(messages[0]!.split("insert into products").length - 1, 1);
    assert(/\$3000\).*\0commit\0/s.test(messages[0]!));
    assertEquals(await jsonOf(await post(), 200), { imported: 0 });
    assertEquals(
      await query("select count(*)::int as n, sum(price)::text as sum from products"),
      [{ n: 500, sum: "50.00" }],
    );
  });

  await t.step(
    "an upsert inserts, then replaces; arrays and jsonb come back as they were",
    async () => {
      const put = (change = {}) =>
        request("/products/lamp", jsonRequest("PUT", { ...lamp, ...change }));
      assertEquals(await jsonOf(await put(), 201), { sku: "lamp", ...lamp });
      assertEquals(await jsonOf(await put({ price: "20" }), 200), {
        sku: "lamp",
        ...lamp,
        price: "20.00",
      });
      const found = await request("/products?tag=light&colour=red");
      assertEquals(await jsonOf(found, 200), [{ sku: "lamp", ...lamp, price: "20.00" }]);
      assertEquals(await jsonOf(await request("/products?tag=light&colour=blue"), 200), []);
    },
  );

  let id = "";
  await t.step(
    "an order is four statements in two round trips, and its event is delivered",
    async () => {
      sent.take("");
      const response = await request(
        "/orders",
        jsonRequest("POST", {
          customer: 'Ann "A", B',
          shipping: { city: "Bern", floors: [1, null] },
          lines: [{ sku: "lamp", quantity: 2 }, { sku: "item-1", quantity: 3 }],
        }),
      );
      const order = await jsonOf(response, 201) as Record<string, unknown>;
      id = String(order["id"]);
      assertEquals({ ...order, id: "", created_at: "" }, {
        id: "",
        customer: 'Ann "A", B',
        status: "new",
        total: "40.30",
        shipping: { city: "Bern", floors: [1, null] },
        created_at: "",
      });
      await settled(query, "select from outbox");
      await logged?.(`"payload":{"orderId":"${id}"}`);
      const messages = sent.take("update products", "delete from outbox");
      const inserts = ["insert into orders", "insert into order_lines", "insert into outbox"];
      assertEquals(
        messages.map((text) => inserts.map((insert) => text.includes(insert))),
        [[false, false, false], [true, true, true]],
      );
      assertEquals(
        await query("select sku, stock from products where sku in ('lamp', 'item-1') order by sku"),
        [{ sku: "item-1", stock: 997 }, { sku: "lamp", stock: 3 }],
      );
    },
  );

  await t.step("an order of more than there is leaves nothing behind", async () => {
    const response = await request(
      "/orders",
      jsonRequest("POST", {
        customer: "Bob",
        shipping: {},
        lines: [{ sku: "item-1", quantity: 1 }, { sku: "lamp", quantity: 4 }],
      }),
    );
    assertEquals(await jsonOf(response, 409), { lacking: ["lamp"] });
    assertEquals(
      await query(
        "select stock, (select count(*)::int from orders) as orders from products where sku = 'item-1'",
      ),
      [{ stock: 997, orders: 1 }],
    );
  });

  await t.step("a status is an enum, and so is a list of them", async () => {
    const patch = (status: string) => request(`/orders/${id}`, jsonRequest("PATCH", { status }));
    assertEquals((await jsonOf(await patch("paid"), 200) as { status: string }).status, "paid");
    await (await patch("lost")).text().then((text) => assertEquals(text, "Bad status"));
    const list = async (search: string) =>
      (await jsonOf(await request(`/orders${search}`), 200) as unknown[]).length;
    assertEquals(
      [await list(""), await list("?status=paid&status=shipped"), await list("?status=new")],
      [1, 1, 0],
    );
    const order = await jsonOf(await request(`/orders/${id}`), 200) as { lines: unknown };
    assertEquals(order.lines, [
      { sku: "item-1", quantity: 3, price: "0.10" },
      { sku: "lamp", quantity: 2, price: "20.00" },
    ]);
    for (
      const [path, init] of [
        [`/orders/${MISSING}`],
        [`/orders/${MISSING}`, jsonRequest("PATCH", { status: "paid" })],
      ] as const
    ) {
      const response = await request(path, init);
      assertEquals([response.status, await response.text()], [404, "404 Not Found"]);
    }
  });

  await t.step("the export is a CSV file", async () => {
    const response = await request("/orders.csv");
    assertEquals(response.headers.get("Content-Type"), "text/csv; charset=utf-8");
    assertEquals(
      await response.text(),
      "order,customer,status,sku,quantity,price\r\n" +
        `${id},"Ann ""A"", B",paid,item-1,3,0.10\r\n` +
        `${id},"Ann ""A"", B",paid,lamp,2,20.00\r\n`,
    );
  });

  await t.step("input that PostgreSQL would refuse is refused before a session opens", async () => {
    // The export's session ends behind its response.
    await settled(query, UNITS_UNDER_WAY);
    sent.take("");
    const orderOf = (lines: unknown) => jsonRequest("POST", { customer: "C", shipping: {}, lines });
    const bad: [path: string, init?: RequestInit][] = [
      ["/products/lamp", jsonRequest("PUT", { ...lamp, price: 19.9 })],
      ["/products/lamp", jsonRequest("PUT", { ...lamp, price: "NaN" })],
      ["/products/lamp", jsonRequest("PUT", { ...lamp, stock: 2 ** 31 })],
      ["/products", jsonRequest("POST", [])],
      ["/orders", orderOf([])],
      ["/orders", orderOf([{ sku: "lamp", quantity: 1 }, { sku: "lamp", quantity: 1 }])],
      ["/orders/7"],
    ];
    for (const [path, init] of bad) {
      const response = await request(path, init);
      const text = await response.text();
      assertEquals([path, response.status, text.startsWith("Bad ")], [path, 400, true], text);
    }
    assertEquals(sent.take(""), []);
  });
}

const UNITS_UNDER_WAY = `select from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'`;

/** Waits until a query gives no rows: the delivery is committed after it was logged. */
async function settled(query: OrdersHost["query"], text: string): Promise<void> {
  for (let turn = 0; turn < 100; turn++) {
    if ((await query(text)).length === 0) return;
  }
  assert(false, `"${text}" still gives rows`);
}
