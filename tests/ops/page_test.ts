/** The pool page in a real browser, on the whole service with a real PostgreSQL. Screenshots are in `.local/screenshots`. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { type Connection, NeonDriver } from "../../src/db/mod.ts";
import { start } from "../../src/deno/service.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import { type Chromium, findChromium, startChromium } from "../support/chromium.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";
import { relayTo, testServer } from "../support/test_server.ts";
import { BEARER } from "../support/token.ts";
import { screenshots } from "./screenshots.ts";

const TOKEN = "a-token-of-24-characters";

const program = await findChromium();
const database = program === undefined ? undefined : await localDatabase();

interface Fixture {
  readonly url: string;
  readonly branch: LocalBranch;
  readonly browser: Chromium;
  /** Opens the page and signs in. */
  open(): Promise<void>;
  /** Sends requests, whose responses are awaited at the end of the test. */
  request(count: number): void;
  /** Closes the relay, so that the database stays unreachable. */
  cutOff(): Promise<void>;
}

function pageTest(
  name: string,
  run: (fixture: Fixture) => Promise<void>,
  env: Readonly<Record<string, string>> = {},
): void {
  const reason = " (skipped: no `chromium`; Debian's package of that name installs it)";
  Deno.test({
    name: `${name}${program === undefined ? reason : ""}`,
    ignore: program === undefined,
    timeout: 180_000,
    fn: () => withFixture(env, run),
  });
}

async function withFixture(
  env: Readonly<Record<string, string>>,
  run: (fixture: Fixture) => Promise<void>,
): Promise<void> {
  await using branch = await database!.connect();
  await using relay = await relayTo(await testServer());
  await using browser = await startChromium(program!);
  const service = await start({
    ...branch.env,
    DATABASE_WS_PROXY: relay.url,
    PORT: "0",
    LOG_LEVEL: "error",
    OPS_TOKEN: TOKEN,
    DATABASE_POOL_SIZE: "2",
    DATABASE_MAX_OVERFLOW: "1",
    DATABASE_CONNECT_TIMEOUT: "5",
    ...env,
  }, { hostname: "127.0.0.1" });
  const answers: Promise<void>[] = [];
  try {
    await run({
      url: service.url,
      branch,
      browser,
      async open() {
        await browser.open(`${service.url}/ops`);
        await browser.fill("#token", TOKEN);
        await browser.click("button[type=submit]");
        await browser.waitFor(`document.querySelector("#live")?.textContent === "Live"`);
      },
      request(count) {
        const ask = async () =>
          await (await fetch(`${service.url}/users`, { headers: BEARER })).body?.cancel();
        answers.push(...Array.from({ length: count }, ask));
      },
      cutOff: () => relay.close(),
    });
  } finally {
    await service.shutdown();
    await Promise.all(answers);
  }
}

/** Locks the table of users until it is disposed. */
async function lockUsers(branch: LocalBranch): Promise<AsyncDisposable> {
  const driver = new NeonDriver(parseSettings(branch.envOf("postgres")).database);
  const connection: Connection = await driver.connect({ timeoutMs: 5_000 });
  const { error } = await connection.flight([
    { text: "begin", values: [] },
    { text: "lock table users in access exclusive mode", values: [] },
  ]);
  if (error !== undefined) throw error;
  return { [Symbol.asyncDispose]: () => connection.close({ timeoutMs: 5_000 }) };
}

/** The page must show a problem within five seconds. */
function waitForText(browser: Chromium, text: string): Promise<void> {
  const isThere = `document.body.innerText.includes(${JSON.stringify(text)})`;
  return browser.waitFor(isThere, { timeoutMs: 5_000 });
}

function textOf(browser: Chromium, selector: string): Promise<string> {
  return browser.evaluate(`document.querySelector(${JSON.stringify(selector)}).innerText`);
}

pageTest(
  "the page asks for the token once, then uses a cookie that no script can read",
  async (fixture) => {
    const { browser, url } = fixture;
    await browser.open(`${url}/ops`);
    assertEquals(await browser.violations(), []);
    assertEquals(await browser.errors(), []);
    await browser.fill("#token", "not the token at all");
    await browser.click("button[type=submit]");
    await waitForText(browser, "The token is wrong.");
    await browser.fill("#token", TOKEN);
    await browser.press("Enter");
    await browser.waitFor(`document.querySelector("#live")?.textContent === "Live"`);
    assertEquals(await browser.evaluate("document.cookie"), "");
    await browser.click("#sign-out button");
    await browser.waitFor(`document.querySelector("#token") !== null`);
  },
);

pageTest(
  "the page of a healthy pool shows no problems, updates under load, and can be paused",
  async (fixture) => {
    const { browser, open, request } = fixture;
    await open();
    assertEquals(await textOf(browser, "#verdict"), "No problems");
    const committed = `[...document.querySelectorAll("#count-groups dl div")]
    .find((row) => row.innerText.startsWith("committed")).querySelector("dd").innerText`;
    const before = Number(await browser.evaluate(committed));
    request(40);
    await browser.waitFor(`Number(${committed}) >= ${before + 40}`);
    await browser.waitFor(`document.querySelector("#wait-p95").innerText.endsWith("ms")`);
    await browser.click("#pause");
    assertEquals(await textOf(browser, "#live"), "Paused");
    await screenshots(browser, "healthy");
  },
);

pageTest(
  "an exhausted pool and its slow statements are shown within five seconds",
  async (fixture) => {
    const { browser, open, branch, request } = fixture;
    await open();
    await using _ = await lockUsers(branch);
    request(9);
    await waitForText(
      browser,
      "All 3 connections are in use and",
    );
    await waitForText(browser, "GET /users, on connection 1, has been running for");
    assertEquals(
      await textOf(browser, "#verdict"),
      "The pool is exhausted · Statements are slow",
    );
    assertStringIncludes(await textOf(browser, "#connection-rows"), "from users");
    assertStringIncludes(await textOf(browser, "#waiter-rows"), "GET /users");
    await screenshots(browser, "exhausted");
  },
);

pageTest(
  "an operator signs in and out over plain HTTP under a name that is not loopback",
  async ({ browser, url }) => {
    // Browsers send no `Sec-Fetch-Site` there, so that `Origin` alone shows whose form it is.
    await browser.open(`http://service.test:${new URL(url).port}/ops`);
    await browser.fill("#token", TOKEN);
    await browser.click("button[type=submit]");
    await browser.waitFor(`document.querySelector("#live")?.textContent === "Live"`);
    await browser.click("#sign-out button");
    await browser.waitFor(`document.querySelector("#token") !== null`);
  },
);

pageTest(
  "a connection that is leased for too long is shown, with its holder's label",
  async (fixture) => {
    const { browser, open, branch, request } = fixture;
    await open();
    await using _ = await lockUsers(branch);
    request(1);
    await waitForText(browser, "A connection may have leaked");
    await waitForText(browser, "GET /users has leased connection");
    assertStringIncludes(await textOf(browser, "#connection-rows"), "leaked?");
    await screenshots(browser, "leak");
  },
  { DATABASE_LEAK_THRESHOLD: "0.5" },
);

pageTest(
  "the page works with the keyboard alone, and announces nothing while the status stays the same",
  async ({ browser, open, request }) => {
    await open();
    const focused = () => browser.evaluate<string>("document.activeElement.textContent.trim()");
    await browser.evaluate("document.activeElement.blur()");
    await browser.press("Tab");
    assertEquals(await focused(), "Skip to the connections");
    await browser.press("Enter");
    assertEquals(await focused(), "Connections");
    await browser.press("Shift+Tab");
    await browser.press("Shift+Tab");
    assertEquals(await focused(), "Pause");
    await browser.press("Space");
    assertEquals(await textOf(browser, "#live"), "Paused");
    await browser.press("Space");
    await browser.waitFor(`document.querySelector("#live").textContent === "Live"`);

    await browser.evaluate(`globalThis.changes = [0, 0];
      ["#verdict", "#connection-rows"].forEach((selector, index) =>
        new MutationObserver(() => globalThis.changes[index]++).observe(
          document.querySelector(selector),
          { childList: true, characterData: true, subtree: true },
        ))`);
    request(5);
    await browser.waitFor("globalThis.changes[1] >= 3");
    assertEquals(await browser.evaluate("globalThis.changes[0]"), 0);
    const announced = `[...document.querySelectorAll("[role=status], [role=alert], [aria-live]")]
      .map(({ id }) => id)`;
    assertEquals(await browser.evaluate(announced), ["verdict"]);
  },
);

pageTest(
  "a slow statement is shown within five seconds, with its holder's label and its duration",
  async (fixture) => {
    const { browser, open, branch, request } = fixture;
    await open();
    await using _ = await lockUsers(branch);
    request(1);
    await waitForText(browser, "has been running for");
    assertEquals(await textOf(browser, "#verdict"), "A statement is slow");
    await screenshots(browser, "slow");
  },
);

pageTest(
  "an unreachable database is shown within five seconds, with the failed requests",
  async (fixture) => {
    const { browser, open, request, cutOff } = fixture;
    await open();
    await cutOff();
    request(3);
    await waitForText(browser, "The database cannot be reached");
    await waitForText(browser, "503 GET /users");
    assertStringIncludes(await textOf(browser, "#diagnostics"), "Cannot connect to PostgreSQL");
    await screenshots(browser, "unreachable");
  },
);
