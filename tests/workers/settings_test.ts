import { assertEquals, assertRejects } from "@std/assert";
import { SettingsError } from "../../src/settings/settings.ts";
import { ACCESS } from "../support/access.ts";
import { workerSettings } from "../../src/workers/settings.ts";

const URL_TEXT = "postgresql://app:s3cret@db.example.org/main";

Deno.test("a Worker's settings come from texts, a Hyperdrive and a Secrets Store", async () => {
  const bindings = {
    ...ACCESS,
    // A Durable Object's binding has a `get` too, which must not be called.
    DATABASE_OBJECT: { get: () => Promise.reject(new Error("no")), idFromName: () => "" },
    OPS_TOKEN: { get: () => Promise.resolve("0123456789abcdef") },
    DATABASE_POOL_SIZE: "7",
  };
  const address = `${URL_TEXT}?sslmode=disable`;
  const { database, opsToken } = await workerSettings({
    ...bindings,
    DATABASE_URL: { connectionString: address, host: "x.hyperdrive.local" },
  });
  assertEquals(
    [database.url, database.transport, database.pool.size, opsToken],
    [address, "tcp", 7, "0123456789abcdef"],
  );
  const secret = await workerSettings({
    ...ACCESS,
    DATABASE_URL: { get: () => Promise.resolve(URL_TEXT) },
  });
  assertEquals(secret.database.url, URL_TEXT);
});

Deno.test("a secret that cannot be read, and a binding of another kind, are errors", async () => {
  const missing = { get: () => Promise.reject(new Error("Secret not found")) };
  await assertRejects(() => workerSettings({ DATABASE_URL: missing }), Error, "Secret not found");
  await assertRejects(() => workerSettings({ DATABASE_URL: { fetch() {} } }), SettingsError);
  await assertRejects(() => workerSettings({}), SettingsError, "DATABASE_URL");
});
