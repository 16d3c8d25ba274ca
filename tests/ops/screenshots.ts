import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import type { Chromium } from "../support/chromium.ts";

const SCREENSHOTS = join(import.meta.dirname!, "..", "..", ".local", "screenshots");

/** Takes screenshots in each size and colour scheme, and checks accessibility, width and errors in each. */
export async function screenshots(browser: Chromium, name: string): Promise<void> {
  await Deno.mkdir(SCREENSHOTS, { recursive: true });
  const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ["light", "dark"] as const) {
      await browser.show({ viewport, colorScheme });
      await browser.waitFor(`[...document.querySelectorAll("canvas")].map((canvas) =>
        canvas.clientWidth <= innerWidth).join() === "true,true,true,true"`);
      await browser.screenshot(join(SCREENSHOTS, `${name}-${size}-${colorScheme}.png`));
      assertEquals(await browser.violations(), [], `${name}, ${size}, ${colorScheme}`);
      const overflow = "document.documentElement.scrollWidth - innerWidth";
      assert(await browser.evaluate<number>(overflow) <= 0, `${name} is too wide for a ${size}`);
      assertEquals(await browser.errors(), []);
    }
  }
}
