/** Limits on clients, as every host keeps them. The services under test have `FAIR_USE` and start with full quotas. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { OTHER_TOKENS, SCOPED_TOKENS } from "../support/access.ts";
import { assertProblem, type SendRequest, type UsersCase } from "./requests.ts";

/** Windows of an hour, so that nothing is refilled during a test. */
export const FAIR_USE = {
  RATE_LIMIT_PER_ADDRESS: "40/3600",
  RATE_LIMIT_PER_TOKEN: "10/3600",
  CLIENT_ADDRESS_HEADER: "X-Client",
};

function asClient(token: string, address: string): RequestInit {
  return { headers: { Authorization: `Bearer ${token}`, "X-Client": address } };
}

/** Sends that many at once. Returns how many were answered with each status. */
async function burst(
  request: SendRequest,
  count: number,
  init: RequestInit,
): Promise<Record<number, number>> {
  const responses = await Promise.all(Array.from({ length: count }, () => request("/users", init)));
  await Promise.all(responses.map(({ body }) => body?.cancel()));
  const counts: Record<number, number> = {};
  for (const { status } of responses) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

export const fairUseCases: readonly UsersCase[] = [
  {
    name: "of a token's requests at once, those of its quota are served, from whatever addresses",
    async run(request) {
      const token = OTHER_TOKENS.acme;
      const [one, other] = await Promise.all([
        burst(request, 7, asClient(token, "192.0.2.1")),
        burst(request, 7, asClient(token, "192.0.2.2")),
      ]);
      assertEquals((one[200] ?? 0) + (other[200] ?? 0), 10);
      assertEquals((one[429] ?? 0) + (other[429] ?? 0), 4);
    },
  },
  {
    name: "a refused request is told when to come back, and other tokens are served",
    async run(request) {
      const init = asClient(OTHER_TOKENS.acme, "192.0.2.3");
      const refused = await request("/users", init);
      // One is refilled in 360 s.
      assertMatch(refused.headers.get("Retry-After") ?? "", /^3[456]\d$/);
      const retryAfter = refused.headers.get("Retry-After");
      const policies = refused.headers.get("RateLimit-Policy")?.split(", ").sort();
      assertEquals(policies, ['"address";q=40;w=3600', '"token";q=10;w=3600']);
      assert(
        refused.headers.get("RateLimit")?.split(", ").includes(`"token";r=0;t=${retryAfter}`),
        refused.headers.get("RateLimit") ?? "none",
      );
      await assertProblem(refused, 429, "rate-limited");
      const other = await request("/users", asClient(OTHER_TOKENS.globex, "192.0.2.3"));
      assertEquals([other.status, await other.body?.cancel()], [200, undefined]);
      assertMatch(other.headers.get("RateLimit") ?? "", /"token";r=9;t=3[56]\d\b/);
      assertEquals(other.headers.get("Retry-After"), null);
    },
  },
  {
    name: "an address has one quota for all tokens, wrong ones too, and a /64 is one address",
    async run(request) {
      const of = (token: string, host: number) => asClient(token, `2001:db8:0:7::${host}`);
      const answers = [
        await burst(request, 12, of("a-wrong-token-of-the-tests", 1)),
        await burst(request, 12, of("a-wrong-token-of-the-tests", 2)),
        await burst(request, 9, of(SCOPED_TOKENS["users:read"], 3)),
        await burst(request, 12, of("a-wrong-token-of-the-tests", 4)),
      ];
      assertEquals(answers, [{ 401: 12 }, { 401: 12 }, { 200: 9 }, { 401: 7, 429: 5 }]);
      const elsewhere = await request(
        "/users",
        asClient("wrong-token-elsewhere", "2001:db8:0:8::1"),
      );
      await assertProblem(elsewhere, 401, "token-invalid");
    },
  },
  {
    name: "probes and documents are served without limits",
    async run(request) {
      const init = { headers: { "X-Client": "2001:db8:0:7::9" } };
      for (const path of ["/healthz", "/readyz", "/problems"]) {
        const response = await request(path, init);
        assertEquals([response.status, await response.body?.cancel()], [200, undefined]);
        assertEquals(response.headers.get("RateLimit"), null);
      }
    },
  },
];
