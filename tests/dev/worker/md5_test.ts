/** The driver's own MD5 is not in a Worker's bundle: the runtime has one. */
import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { bundle } from "../../../src/dev/worker/bundle.ts";
import { startPostgres } from "../../../src/dev/postgres.ts";
import { runAlone } from "../../support/branch.ts";
import { startWorkerd } from "../../support/workerd.ts";

Deno.test("a minified Worker logs in where the server asks for MD5, by the right password only", async () => {
  await using postgres = await startPostgres({ ephemeral: true });
  const administrator = new URL(postgres.url({ role: "postgres" }));
  const run = (text: string) => runAlone({ DATABASE_URL: administrator.href }, text);
  await run("alter system set password_encryption = 'md5'");
  const rules = join(postgres.directory, "data", "pg_hba.conf");
  await Deno.writeTextFile(
    rules,
    `host all caller 127.0.0.1/32 md5\n${await Deno.readTextFile(rules)}`,
  );
  await run("select pg_reload_conf()");
  await run("create role caller login password 'pässword'");
  const entry = await bundle({
    entry: "tests/dev/worker/md5_worker.ts",
    minify: true,
    dropsModules: true,
  });
  const answers = [];
  for (const password of ["pässword", "passwort"]) {
    const url = new URL(administrator);
    [url.username, url.password] = ["caller", password];
    const workerd = await startWorkerd({ entry, bindings: { DATABASE_URL: url.href } });
    try {
      const response = await fetch(workerd.url);
      answers.push([response.status, (await response.text()).includes('{"name":"caller"}')]);
    } finally {
      await workerd.stop();
    }
  }
  assertEquals(answers, [[200, true], [500, false]]);
});
