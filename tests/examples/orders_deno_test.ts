/** The example `orders_deno.ts`, as a process, on a real server. */
import { assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { OutputLog } from "./output_log.ts";
import { ordersCases, SentTexts } from "./orders_cases.ts";
import { signalProcess } from "../support/signal_process.ts";

const root = new URL("../../", import.meta.url);
const database = await localDatabase();

Deno.test({
  name: "the orders app on Deno",
  timeout: 120_000,
  async fn(t) {
    const sent = new SentTexts();
    await using branch = await database.connect({ observe: sent.observe });
    const { DATABASE_URL, DATABASE_WS_PROXY } = branch.envOf("user_service_owner");
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "src/examples/orders_deno.ts"],
      cwd: root,
      env: { DATABASE_URL: DATABASE_URL!, DATABASE_WS_PROXY: DATABASE_WS_PROXY!, PORT: "0" },
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const output = new OutputLog(child.stdout);
    try {
      const [, port] = await output.match(/listens on http:\/\/localhost:(\d+)/);
      await ordersCases(t, {
        request: (path, init) => fetch(`http://127.0.0.1:${port}${path}`, init),
        sent,
        query: (text) => branch.asAdmin(text),
        logged: async (text) => void await output.match(new RegExp(RegExp.escape(text))),
      });
      child.kill("SIGINT");
      assertEquals(await child.status, { success: true, code: 0, signal: null });
    } finally {
      signalProcess(child, "SIGKILL");
      await child.status;
      await output.end;
    }
  },
});
