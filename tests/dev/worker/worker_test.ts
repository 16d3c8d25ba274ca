/** Tests that need wrangler, some 200 MB, which the first of them downloads. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { findPostmaster } from "../../../src/library/testing/postgres/process.ts";
import { type CheckoutCopy, copyCheckout, DEV_BEARER } from "../checkout_copy.ts";

function workerTest(name: string, fn: (checkout: CheckoutCopy) => Promise<void>): void {
  const withCheckout = async () => {
    await using checkout = await copyCheckout();
    await fn(checkout);
  };
  Deno.test({ name, fn: withCheckout, timeout: 300_000 });
}

workerTest("wrangler deploy --dry-run accepts wrangler.toml without warnings", async (checkout) => {
  for (const environment of ["", "staging"]) {
    const outdir = join(checkout.path, `out${environment}`);
    const { code, text } = await checkout.run("worker/wrangler.ts", [
      "deploy",
      "--dry-run",
      `--env=${environment}`,
      `--outdir=${outdir}`,
    ]);
    assertEquals(code, 0, text);
    assertEquals(/WARNING|ERROR/.exec(text), null, text);
    assertMatch(text, /env\.DATABASE_OBJECT \(DatabaseObject\) +Durable Object/);
    assertMatch(await Deno.readTextFile(join(outdir, "worker.js")), /DatabaseObject/);
    // The documentation is uploaded as assets, and not a second time as modules of the Worker.
    assertMatch(text, /env\.ASSETS +Assets/);
    const uploaded = Array.from(Deno.readDirSync(outdir), ({ name }) => name);
    assertEquals(uploaded.sort(), ["README.md", "worker.js"]);
  }
});

workerTest(
  "deno task worker answers its curl line through a Durable Object, and a signal ends everything it started",
  async (checkout) => {
    await Deno.writeTextFile(join(checkout.path, ".dev.vars"), "DATABASE_OBJECT_SHARDS=1\n");
    await using worker = checkout.worker();
    const { url, curl } = await worker.ready();
    await worker.output.next(/^The service restarts when /);
    assert(!worker.output.text.includes("/ops"), "a Worker does not serve /ops");
    const { stdout } = await new Deno.Command("sh", { args: ["-c", `${curl} --silent`] }).output();
    const answer = new TextDecoder().decode(stdout);
    assertMatch(answer, /^HTTP\/1.1 201 /);
    const [path] = /\/users\/[-\w]+/.exec(answer)!;
    const response = await fetch(`${url}${path}`, { headers: DEV_BEARER });
    assertEquals([response.status, (await response.json()).name], [200, "Ada Lovelace"]);
    const page = await fetch(`${url}/docs`);
    assertEquals([page.status, page.headers.get("Content-Type")], [
      200,
      "text/html; charset=utf-8",
    ]);
    assertMatch(await page.text(), /API reference/);
    // DNS rebinding: another site's name leads to this machine.
    const { port } = new URL(url);
    for (const [host, status] of [["evil.example", 400], [`localhost:${port}`, 200]] as const) {
      using socket = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
      const head = `GET /users HTTP/1.1\r\nHost: ${host}\r\n` +
        `Authorization: ${DEV_BEARER.authorization}\r\nConnection: close\r\n\r\n`;
      await socket.write(new TextEncoder().encode(head));
      const text = await new Response(socket.readable).text();
      assertEquals(Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1]), status, text);
    }

    worker.signal("SIGINT");
    assertEquals(await worker.ended, 0, worker.errors.text);
    const data = join(checkout.path, ".local", "postgres", "development", "cluster", "data");
    assertEquals(await findPostmaster(data), undefined);
    await assertRejects(() => fetch(url), TypeError);
  },
);
