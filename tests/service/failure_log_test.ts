import { assertEquals } from "@std/assert";
import { logFailures } from "../../src/service/failure_log.ts";
import { createLog } from "../../src/ops/log.ts";

Deno.test("a refused request is logged with what caused the refusal, without stacks", () => {
  const lines: string[] = [];
  const tell = logFailures(createLog("warn", { write: (line) => lines.push(line) }));
  const error = new Error("Cannot reach it", { cause: new TypeError("it was reset") });
  tell({ error, status: 503, method: "GET", path: "/users", route: "/users", requestId: "1" });
  tell({
    error: new Error("Too many"),
    status: 503,
    method: "GET",
    path: "/users",
    route: "/users",
    requestId: "2",
  });
  const told = lines.map((line) => JSON.parse(line)).map(({ reason, cause }) => [reason, cause]);
  assertEquals(told, [["Cannot reach it", "it was reset"], ["Too many", undefined]]);
});
