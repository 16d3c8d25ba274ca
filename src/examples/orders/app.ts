/** The orders app: the same on Deno and on Workers, which differ in where the database comes from. */
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { validator } from "hono/validator";
import {
  bodyOf,
  databaseProblem,
  type DatabaseSource,
  provideDatabase,
  respondWithProblem,
  withSession,
  withStreamingSession,
} from "@user-service/db/hono";
import { csvOf } from "./csv.ts";
import {
  isStatus,
  ORDER_STATUSES,
  parseId,
  parseOrder,
  parseProduct,
  parseProducts,
  parseStatus,
} from "./input.ts";
import { EXPORT, EXPORT_COLUMNS, findOrders, placeOrder, readOrder, setStatus } from "./orders.ts";
import { type Deliver, deliverEvents } from "./outbox.ts";
import { findProducts, importProducts, putProduct } from "./products.ts";

/** `deliver` gets the events of the outbox. */
export function ordersApp(database: DatabaseSource, deliver: Deliver) {
  return new Hono()
    .use(provideDatabase(database))
    .onError((error, c) => {
      if (error instanceof HTTPException) return error.getResponse();
      const problem = databaseProblem(error);
      if (problem !== undefined) return respondWithProblem(c, problem);
      console.error(error);
      return c.text("Internal error", 500);
    })
    .post("/products", validator("json", parseProducts), (c) => {
      const products = c.req.valid("json");
      return withSession(
        c,
        async (session) => c.json({ imported: await importProducts(session, products) }),
      );
    })
    .put("/products/:sku", validator("json", parseProduct), (c) => {
      const input = { sku: c.req.param("sku"), ...c.req.valid("json") };
      return withSession(c, async (session) => {
        const { product, isNew } = await putProduct(session, input);
        return c.json(product, isNew ? 201 : 200);
      });
    })
    .get("/products", (c) => {
      const { tag: tags = [], ...rest } = c.req.queries();
      const attributes = Object.fromEntries(
        Object.entries(rest).map(([name, [value]]) => [name, value]),
      );
      return withSession(
        c,
        async (session) => c.json(await findProducts(session, { tags, attributes })),
        { readOnly: true },
      );
    })
    .post("/orders", validator("json", parseOrder), (c) => {
      const input = c.req.valid("json");
      // Made before the unit, so that a unit that runs again writes the same order.
      const id = crypto.randomUUID();
      return withSession(c, async (session) => {
        session.afterCommit(() => deliverEvents(c.var.db, deliver));
        const placed = await placeOrder(session, id, input);
        return "order" in placed ? c.json(placed.order, 201) : c.json(placed, 409);
      });
    })
    .get("/orders", (c) => {
      const statuses = (c.req.queries("status") ?? ORDER_STATUSES).filter(isStatus);
      return withSession(
        c,
        async (session) => c.json(await findOrders(session, statuses)),
        { readOnly: true },
      );
    })
    .get("/orders.csv", (c) => {
      c.header("Content-Type", "text/csv; charset=utf-8");
      return withStreamingSession(
        c,
        (session) =>
          c.body(bodyOf(csvOf(EXPORT_COLUMNS, session.stream(EXPORT, { rowMode: "array" })))),
      );
    })
    .get("/orders/:id", (c) => {
      const id = parseId(c.req.param("id"));
      return withSession(c, async (session) => {
        const order = await readOrder(session, id);
        return order === undefined ? c.notFound() : c.json(order);
      }, { readOnly: true });
    })
    .patch("/orders/:id", validator("json", parseStatus), (c) => {
      const id = parseId(c.req.param("id"));
      const { status } = c.req.valid("json");
      return withSession(c, async (session) => {
        const order = await setStatus(session, id, status);
        return order === undefined ? c.notFound() : c.json(order);
      });
    });
}
