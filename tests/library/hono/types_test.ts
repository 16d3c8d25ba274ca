/** What the types of Hono's handlers say inside `withSession`: paths, validators, variables, and RPC clients. */
import { assertEquals } from "@std/assert";
import { Hono } from "hono";
import { hc } from "hono/client";
import { validator } from "hono/validator";
import type { TransactionRunner } from "../../../src/db/mod.ts";
import {
  provideDatabase,
  withSession,
  withStreamingSession,
} from "../../../src/library/hono/mod.ts";
import { retryingDatabase } from "../../http/fake_database.ts";

const newUser = validator("json", (body) => ({ name: String((body as { name: unknown }).name) }));

function appOf(db: TransactionRunner) {
  return new Hono<{ Variables: { tenant: string } }>()
    .use(provideDatabase(db))
    .use(async (c, next) => {
      c.set("tenant", "first");
      await next();
    })
    .get("/users/:id", (c) =>
      withSession(c, (session) => {
        const tenant: string = c.var.tenant;
        // @ts-expect-error: No middleware sets it.
        c.var.other;
        return c.json({ id: c.req.param("id"), tenant, done: Boolean(session.isCommitted) });
      }, { readOnly: true }))
    .post("/users", newUser, (c) => {
      const { name } = c.req.valid("json");
      // @ts-expect-error: Nothing validates the query.
      const nothing = () => c.req.valid("query");
      void nothing;
      return withSession(c, () => c.json({ name }, 201));
    });
}

Deno.test("an RPC client knows the routes whose handlers use withSession()", async () => {
  const app = appOf(retryingDatabase(1));
  const client = hc<typeof app>("http://localhost", { fetch: app.request });
  const read = await client.users[":id"].$get({ param: { id: "7" } });
  const user: { id: string; tenant: string; done: boolean } = await read.json();
  assertEquals(user, { id: "7", tenant: "first", done: false });
  const created = await client.users.$post({ json: { name: "Ann" } });
  const status: 201 = created.status;
  assertEquals([status, await created.json()], [201, { name: "Ann" }]);
  // @ts-expect-error: The body is missing.
  const wrong = () => client.users.$post({});
  // @ts-expect-error: There is no such route.
  const none = () => client.things.$get();
  void [wrong, none];
});

Deno.test("handlers of an app without provideDatabase() do not compile, and say what is missing", async () => {
  const app = new Hono()
    // @ts-expect-error: Nothing sets c.var.db.
    .get("/", (c) => withSession(c, () => c.text("")))
    // @ts-expect-error: Nothing sets c.var.db.
    .get("/rows", (c) => withStreamingSession(c, () => c.text("")));
  app.onError(({ message }, c) => c.text(message, 500));
  for (const path of ["/", "/rows"]) {
    const text = await (await app.request(path)).text();
    assertEquals(text.includes("provideDatabase(db)"), true, text);
  }
});
