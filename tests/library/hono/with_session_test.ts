import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Hono } from "hono";
import type { Session, TransactionOptions, TransactionRunner } from "../../../src/db/mod.ts";
import {
  type DatabaseVariables,
  provideDatabase,
  withSession,
} from "../../../src/library/hono/mod.ts";
import { retryingDatabase, untouchedDatabase, unusedSession } from "../../http/fake_database.ts";

function appWith(db: TransactionRunner): Hono<{ Variables: DatabaseVariables }> {
  const app = new Hono<{ Variables: DatabaseVariables }>();
  app.use(provideDatabase(db));
  return app;
}

Deno.test("withSession() passes the handler a session of the provided database", async () => {
  const app = appWith(retryingDatabase(1));
  const given: Session[] = [];
  app.get(
    "/",
    (c) =>
      withSession(c, (session) => {
        given.push(session);
        return c.text("done");
      }),
  );
  assertEquals(await (await app.request("/")).text(), "done");
  assertStrictEquals(given[0], unusedSession);
});

Deno.test("withSession() passes on the transaction's options", async () => {
  const seen: (TransactionOptions | undefined)[] = [];
  const app = appWith({
    ...untouchedDatabase,
    transaction(work, options) {
      seen.push(options);
      return work(unusedSession);
    },
  });
  const options = { isolation: "serializable", readOnly: true, attempts: 2 } as const;
  app.get("/", (c) => withSession(c, () => c.body(null), options));
  await app.request("/");
  assertEquals(seen, [{ label: "GET /", ...options }]);
});

Deno.test("withSession() labels its unit of work with method and route, unless it has a label", async () => {
  const labels: (string | undefined)[] = [];
  const app = appWith({
    ...untouchedDatabase,
    transaction(work, options) {
      labels.push(options?.label);
      return work(unusedSession);
    },
  });
  app.get("/users/:id", (c) => withSession(c, () => c.body(null)));
  app.get("/named", (c) => withSession(c, () => c.body(null), { label: "report" }));
  await app.request("/users/42");
  await app.request("/named");
  assertEquals(labels, ["GET /users/:id", "report"]);
});

Deno.test("withSession() drops status, headers and variables that a failed run set", async () => {
  const app = appWith(retryingDatabase(2));
  app.use(async (c, next) => {
    c.header("X-Kept", "before");
    c.header("Set-Cookie", "a=1", { append: true });
    c.header("Set-Cookie", "b=2", { append: true });
    await next();
  });
  let runs = 0;
  const seen: unknown[] = [];
  app.get(
    "/",
    (c) =>
      withSession(c, () => {
        seen.push((c.var as Record<string, unknown>)["mark"]);
        if (++runs === 1) {
          c.status(201);
          c.header("X-Failed", "1");
          c.header("X-Kept", "overwritten");
          c.header("Set-Cookie", "c=3", { append: true });
          (c as { set: (name: string, value: unknown) => void }).set("mark", 1);
          throw new Error("transient");
        }
        return c.json({ runs });
      }),
  );
  const response = await app.request("/");
  assertEquals(response.status, 200);
  assertEquals(await response.json(), { runs: 2 });
  assertEquals(response.headers.get("X-Failed"), null);
  assertEquals(response.headers.get("X-Kept"), "before");
  assertEquals(response.headers.getSetCookie(), ["a=1", "b=2"]);
  assertEquals(seen, [undefined, undefined]);
});

Deno.test("withSession() drops headers that a failed run set through c.res", async () => {
  const app = appWith(retryingDatabase(2));
  let runs = 0;
  app.get(
    "/",
    (c) =>
      withSession(c, () => {
        if (++runs === 1) {
          c.res.headers.set("X-Failed", "1");
          throw new Error("transient");
        }
        return c.text("done");
      }),
  );
  const response = await app.request("/");
  assertEquals([response.headers.get("X-Failed"), await response.text()], [null, "done"]);
});

Deno.test("withSession() drops headers of the last failed run from the error's response", async () => {
  const app = appWith(retryingDatabase(2));
  app.onError((_error, c) => c.text("failed", 500));
  app.get(
    "/",
    (c) =>
      withSession(c, () => {
        c.header("Location", "/somewhere");
        throw new Error("permanent");
      }),
  );
  const response = await app.request("/");
  assertEquals([response.status, response.headers.get("Location")], [500, null]);
  await response.body?.cancel();
});

Deno.test("with withSession(), a handler's header replaces that of a middleware", async () => {
  const app = appWith(retryingDatabase(1));
  app.use(async (c, next) => {
    c.header("Cache-Control", "no-store");
    await next();
  });
  app.get("/", (c) => withSession(c, () => c.text("", 200, { "Cache-Control": "max-age=1" })));
  assertEquals((await app.request("/")).headers.get("Cache-Control"), "max-age=1");
});

Deno.test("withSession() wraps a thrown value that is not an Error, so that onError gets it", async () => {
  for (const thrown of ["text", undefined, null, 7, new Event("error")]) {
    const app = appWith(retryingDatabase(1));
    const errors: Error[] = [];
    app.onError((error, c) => {
      errors.push(error);
      return c.body(null, 500);
    });
    app.get(
      "/",
      (c) =>
        withSession(c, () => {
          throw thrown;
        }),
    );
    assertEquals((await app.request("/")).status, 500);
    assertStrictEquals(errors[0]?.cause, thrown);
  }
});

Deno.test("withSession() without a database fails with the way to provide one", async () => {
  const app = new Hono<{ Variables: DatabaseVariables }>();
  app.onError((error, c) => c.text(error.message, 500));
  app.get("/", (c) => withSession(c, () => c.body(null)));
  const text = await (await app.request("/")).text();
  assert(text.includes("provideDatabase(db)"), text);
});

Deno.test("provideDatabase() calls a given function once per request", async () => {
  const app = new Hono<{ Variables: DatabaseVariables }>();
  const paths: string[] = [];
  app.use(provideDatabase((c) => {
    paths.push(c.req.path);
    return retryingDatabase(1);
  }));
  app.get("*", (c) => withSession(c, () => c.body(null)));
  await app.request("/a");
  await app.request("/b");
  assertEquals(paths, ["/a", "/b"]);
});
