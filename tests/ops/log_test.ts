import { assert, assertEquals } from "@std/assert";
import { ServerError } from "../../src/db/mod.ts";
import { createLog } from "../../src/ops/log.ts";

function logged(): { lines: Record<string, unknown>[]; log: ReturnType<typeof createLog> } {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => lines.push(JSON.parse(line));
  return { lines, log: createLog("info", { write, context: () => ({ traceId: "abc" }) }) };
}

Deno.test("a log line is one JSON object with its time, level, event, trace and fields", () => {
  const { lines, log } = logged();
  log.debug("below the level");
  log.info("something happened", { requestId: "1" });
  assertEquals(lines.length, 1);
  const [{ time, ...line }] = lines as [Record<string, unknown>];
  assert(!Number.isNaN(Date.parse(String(time))));
  assertEquals(line, {
    level: "info",
    event: "something happened",
    traceId: "abc",
    requestId: "1",
  });
});

Deno.test("a value that the server could not read is never logged, neither from an error nor from its cause", () => {
  const { lines, log } = logged();
  const error = new ServerError({
    message: 'invalid input syntax for type integer: "a secret"',
    severity: "ERROR",
    sqlState: "22P02",
  });
  log.error("request failed", { error });
  log.error("request failed", { error: new Error("outer", { cause: error }) });
  assertEquals(lines.length, 2);
  for (const line of lines) assert(!JSON.stringify(line).includes("secret"), JSON.stringify(line));
});

Deno.test("the text of a statement is not logged with its error, since it may hold a literal", () => {
  const { lines, log } = logged();
  const error = new ServerError({ message: "no", severity: "ERROR", sqlState: "42501" });
  error.statement = "create role someone password 'a secret'";
  log.error("request failed", { error, cause: new Error("outer", { cause: error }) });
  assertEquals(lines.length, 1);
  assert(!JSON.stringify(lines).includes("secret"), JSON.stringify(lines));
});
