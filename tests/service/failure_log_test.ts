import { assertEquals } from "@std/assert";
import { logFailures } from "../../src/service/failure_log.ts";
import { createLog } from "../../src/ops/log.ts";

Deno.test("a refused request is logged with its reason and the cause, without a stack", () => {
  const lines: string[] = [];
  const logFailure = logFailures(createLog("warn", { write: (line) => lines.push(line) }));
  const error = new Error("Cannot reach it", { cause: new TypeError("it was reset") });
  logFailure({
    error,
    status: 503,
    method: "GET",
    path: "/users",
    route: "/users",
    requestId: "1",
  });
  logFailure({
    error: new Error("Too many"),
    status: 503,
    method: "GET",
    path: "/users",
    route: "/users",
    requestId: "2",
  });
  const logged = lines.map((line) => JSON.parse(line)).map(({ reason, cause }) => [reason, cause]);
  assertEquals(logged, [["Cannot reach it", "it was reset"], ["Too many", undefined]]);
});
