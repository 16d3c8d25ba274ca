/**
 * The service's cases through both of the process's HTTP servers, where requests arrive in one write or in small parts. The
 * same cases run in workerd.
 */
import { start } from "../../src/deno/service.ts";
import { serviceCases } from "../http/service_cases.ts";
import { crowdCases } from "../http/users_cases.ts";
import { withToken } from "../support/access.ts";
import { localDatabase } from "../support/local_database.ts";
import { AnswerLog } from "../support/openapi.ts";
import { inParts, whole } from "../support/request_cuts.ts";
import { TcpHop } from "../support/tcp_hop.ts";

const database = await localDatabase();
const answers = new AnswerLog();

Deno.test.afterAll(() => answers.assertDocumented());

/** Each HTTP server meets both ways to PostgreSQL, and both ways in which requests arrive. */
const HOSTS = [
  { server: "guarded", cut: whole, transport: "WebSocket" },
  { server: "guarded", cut: inParts, transport: "TCP" },
  { server: "plain", cut: whole, transport: "TCP" },
  { server: "plain", cut: inParts, transport: "WebSocket" },
];

for (const { server, cut, transport } of HOSTS) {
  Deno.test(`${server}, requests ${cut.name}, PostgreSQL over ${transport}`, async (test) => {
    await using branch = transport === "TCP"
      ? await database.connectDirectly()
      : await database.connect();
    const settings = {
      PORT: "0",
      LOG_LEVEL: "error",
      QUEUE_CONCURRENCY: "0",
      // For 100 requests at once, of which many may wait for longer than the pool likes.
      DATABASE_POOL_SHED_TARGET: "0",
      HTTP_SERVER: server,
    };
    const service = await start({ ...branch.env, ...settings }, { hostname: "127.0.0.1" });
    const hop = await TcpHop.to(service.url, { cut });
    using client = Deno.createHttpClient({});
    const request = answers.watch((path, init) =>
      fetch(`http://127.0.0.1:${hop.port}${path}`, { ...withToken(init), client })
    );
    // Connections stay open from one case to the next. The test around them looks for any that is left.
    const sanitizeResources = false;
    for (const { name, run } of [...serviceCases, ...crowdCases]) {
      await test.step({ name, sanitizeResources, fn: () => run(request) });
    }
    await hop.close();
    await service.shutdown();
  });
}
