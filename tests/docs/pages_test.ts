/** The documentation in a real browser, from the whole service. Screenshots are in `.local/screenshots`. */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { start } from "../../src/deno/service.ts";
import { findChromium, startChromium } from "../support/chromium.ts";
import { localDatabase } from "../support/local_database.ts";

const SCREENSHOTS = join(import.meta.dirname!, "..", "..", ".local", "screenshots");
const PAGES = { docs: "/docs", problems: "/problems", problem: "/problems/version-mismatch" };
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

const program = await findChromium();
const database = program === undefined ? undefined : await localDatabase();
const reason = " (skipped: no `chromium`; Debian's package of that name installs it)";

Deno.test({
  name: `the reference and the problems are accessible pages of any size and colour scheme${
    program === undefined ? reason : ""
  }`,
  ignore: program === undefined,
  timeout: 120_000,
  async fn() {
    await using branch = await database!.connect();
    await using browser = await startChromium(program!);
    const service = await start({ ...branch.env, PORT: "0", LOG_LEVEL: "error" }, {
      hostname: "127.0.0.1",
    });
    try {
      await Deno.mkdir(SCREENSHOTS, { recursive: true });
      for (const [name, path] of Object.entries(PAGES)) {
        await browser.open(`${service.url}${path}`);
        for (const [size, viewport] of Object.entries(SIZES)) {
          for (const colorScheme of ["light", "dark"] as const) {
            const view = `${name}-${size}-${colorScheme}`;
            await browser.show({ viewport, colorScheme });
            await browser.screenshot(join(SCREENSHOTS, `${view}.png`));
            assertEquals(await browser.violations(), [], view);
            const overflow = "document.documentElement.scrollWidth - innerWidth";
            assert(await browser.evaluate<number>(overflow) <= 0, `${view} is too wide`);
          }
        }
        // Every place that the page links to is there, and so is its style.
        const lost = await browser.evaluate<string[]>(`Promise.all(
          [...document.querySelectorAll("a[href]")].map(({ href }) => new URL(href)).map(async (url) =>
            url.hash !== "" && url.pathname === location.pathname
              ? document.getElementById(url.hash.slice(1)) ? "" : url.hash
              : ""
          )).then((all) => all.filter(Boolean))`);
        assertEquals(lost, []);
        assert(await browser.evaluate(`getComputedStyle(document.body).margin === "0px"`), name);
        assertEquals(await browser.errors(), []);
      }
    } finally {
      await service.shutdown();
    }
  },
});
