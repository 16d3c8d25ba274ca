import { assertEquals } from "@std/assert";
import type { FailedRequest } from "../../src/http/app.ts";
import { watchRequests } from "../../src/ops/watch_requests.ts";
import { failingDatabase } from "../http/fake_database.ts";
import { testApp } from "../http/test_app.ts";

Deno.test("a request is reported under the pattern that it has matched, also of a route before a middleware", async () => {
  const routes: string[] = [];
  const failures: FailedRequest[] = [];
  const app = testApp({
    db: failingDatabase(new Error("the database is gone")),
    observers: [watchRequests(({ route }) => routes.push(route))],
    onFailure: (failure) => failures.push(failure),
  });
  const paths = ["/healthz", "/readyz", "/docs", "/users", "/users/1", "/nowhere", "/users/1/x"];
  for (const path of paths) await (await app.request(path)).body?.cancel();
  assertEquals(routes, ["/healthz", "/readyz", "/docs", "/users", "/users/:id", "", ""]);
  assertEquals(failures.map(({ route }) => route), ["/readyz", "/users"]);
});
