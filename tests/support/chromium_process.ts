/**
 * The process around one headless Chromium, for `chromium.ts`. It runs the command in each line of its input, and answers
 * with one line. It has a lock of its own, since only tests use the packages that it imports.
 */
import { createInterface } from "node:readline";
import process from "node:process";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import type { Looks } from "./chromium.ts";

const PLAYWRIGHT = "npm:playwright-core@1.65.1";
const AXE = "npm:axe-core@4.14.1";

interface Page {
  goto(url: string): Promise<unknown>;
  setViewportSize(size: Looks["viewport"]): Promise<void>;
  emulateMedia(media: { colorScheme: Looks["colorScheme"] }): Promise<void>;
  fill(selector: string, text: string): Promise<void>;
  click(selector: string): Promise<void>;
  evaluate(code: string): Promise<unknown>;
  screenshot(options: { path: string; fullPage: boolean }): Promise<unknown>;
  keyboard: { press(key: string): Promise<void> };
  on(event: string, listener: (event: { type?(): string; text?(): string }) => void): void;
}

const { chromium } = await import(PLAYWRIGHT);
const { default: axe }: { default: { source: string } } = await import(AXE);

const [executablePath] = Deno.args;
const ARGS = [
  // Chromium's sandbox does not work for root, nor in many containers; the pages are our own.
  "--no-sandbox",
  // A name that is not loopback: to browsers, plain HTTP is then not a secure context.
  "--host-resolver-rules=MAP *.test 127.0.0.1",
];
const browser = await chromium.launch({ executablePath, args: ARGS });
let context: { newPage(): Promise<Page>; close(): Promise<void> } | undefined;
let page: Page;
let errors: string[] = [];

const AXE_RUN = `${axe.source};
  axe.run(document).then(({ violations }) => violations.map(({ id, nodes }) =>
    id + ": " + nodes.map(({ html }) => html).join(" | ")))`;

const commands: Record<string, (argument: never) => unknown> = {
  async open(url: string) {
    await context?.close();
    context = await browser.newContext();
    page = await context!.newPage();
    errors = [];
    page.on("console", (message) => {
      if (message.type?.() === "error") errors.push(message.text!());
    });
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(url);
  },
  async show({ viewport, colorScheme }: Looks) {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme });
  },
  fill: ({ selector, text }: { selector: string; text: string }) => page.fill(selector, text),
  click: (selector: string) => page.click(selector),
  press: (key: string) => page.keyboard.press(key),
  evaluate: (code: string) => page.evaluate(code),
  waitFor: async ({ code, timeoutMs }: { code: string; timeoutMs: number }) => {
    // Playwright's own `waitForFunction` needs `eval`, which the page's policy forbids. A page that navigates meanwhile
    // rejects the evaluation.
    const isTrue = () => page.evaluate(code).then(Boolean, () => false);
    if (await pollUntil(isTrue, { deadlineMs: timeoutMs, intervalMs: 50 })) return;
    throw new Error(`not true within ${timeoutMs} ms: ${code}`);
  },
  screenshot: async (path: string) => {
    await page.screenshot({ path, fullPage: true });
  },
  violations: () => page.evaluate(AXE_RUN),
  errors: () => errors,
};

console.log(JSON.stringify({ value: "ready" }));
for await (const line of createInterface({ input: process.stdin })) {
  const [name, argument] = JSON.parse(line) as [string, never];
  try {
    console.log(JSON.stringify({ value: await commands[name]!(argument) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
await browser.close();
process.exit();
