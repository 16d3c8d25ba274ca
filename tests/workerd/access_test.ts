/** JWTs in real workerd: its own fetch reads the keys, its own WebCrypto verifies by them. */
import { assertEquals } from "@std/assert";
import { Issuer, signingKey } from "../access/issuer.ts";
import { as, assertProblem, createUser, type SendRequest } from "../http/requests.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const keys = await Promise.all([
  signingKey("ec"),
  signingKey("rsa", "RS256"),
  signingKey("ed", "EdDSA"),
]);
const issuer = new Issuer(keys);
const database = await localDatabase();
const hosts = await Promise.all([
  startWorkerHost(database, { name: "Worker", env: issuer.env }),
  startWorkerHost(database, {
    name: "Durable Object",
    env: { ...issuer.env, DATABASE_OBJECT_SHARDS: "1", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);

Deno.test.afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
  await issuer[Symbol.asyncDispose]();
});

for (const { request, test } of hosts) {
  test("JWTs of an issuer are accepted beside static tokens, each for its tenant", async () => {
    const withClaims = async (
      claims: Record<string, unknown>,
      key = keys[0],
    ): Promise<SendRequest> => as(request, await issuer.token({ claims, key: key! }));
    const scope = "users:read users:write";
    const { id } = await createUser(await withClaims({ scope }));
    for (const key of keys) {
      const read = await (await withClaims({}, key))(`/users/${id}`);
      assertEquals((await read.json()).id, id, key.alg);
    }
    const others = [request, await withClaims({ tenant: "globex" })];
    for (const other of others) {
      await assertProblem(await other(`/users/${id}`), 404, "user-not-found");
    }
    const expired = await withClaims({ exp: 1 });
    await assertProblem(await expired("/users"), 401, "token-invalid");
    const reading = await withClaims({});
    await assertProblem(
      await reading(`/users/${id}`, { method: "DELETE" }),
      403,
      "insufficient-scope",
    );
    const unknown = as(request, await issuer.token({ header: { kid: "other" } }));
    await assertProblem(await unknown("/users"), 401, "token-invalid");
  });
}
