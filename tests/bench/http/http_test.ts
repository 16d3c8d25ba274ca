/** A short run: the benchmark starts its contenders, and finds the figures. What they are does not matter here. */
import { assert, assertEquals } from "@std/assert";
import { HAND_WRITTEN, OURS } from "./contender.ts";
import { canReadCpu } from "./cpu.ts";
import { benchHttp } from "./http.ts";
import { CHARTS, svgOf } from "./http_charts.ts";
import { verdicts } from "./http_goals.ts";
import { httpTable } from "./http_table.ts";
import { OPERATIONS } from "./operations.ts";

const CONTENDERS = [HAND_WRITTEN, OURS];
const CONSUMING = `${OURS}, consumer on`;

Deno.test({
  name: "each operation has figures of each contender, a table, a chart and a verdict",
  ignore: !canReadCpu(),
  async fn() {
    const turns = { warmUpRounds: 1, rounds: 2, turnMs: 100, warmUpMs: 20 };
    const plan = OPERATIONS.map((operation) => (
      { ...turns, operation, latencyMs: 0, connections: 16 }
    ));
    const only = ({ name }: { name: string }) => [...CONTENDERS, CONSUMING].includes(name);
    const cells = await benchHttp({ full: false, plan, only });
    assertEquals(cells.map(({ operation }) => operation), [...OPERATIONS, "create"]);
    for (const [k, { contenders }] of cells.entries()) {
      const names = k < OPERATIONS.length ? CONTENDERS : [HAND_WRITTEN, CONSUMING];
      assertEquals(contenders.map(({ name }) => name), names);
      for (const turn of contenders.flatMap(({ turns }) => turns)) {
        const { requestsPerSecond, p50Ms, serviceUs, postgresUs } = turn;
        assert(requestsPerSecond > 0 && p50Ms > 0 && serviceUs > 0, JSON.stringify(turn));
        // A process of PostgreSQL that ends during a turn is counted in ticks from then on.
        assert(Number.isFinite(postgresUs), JSON.stringify(turn));
      }
    }
    assert(httpTable(cells).includes(`| ${OURS} |`));
    const lines = verdicts(cells);
    assertEquals(lines.filter((line) => /^(?:met|MISSED)/.test(line)).length, 7);
    const behind = lines.filter((line) => line.startsWith("BEHIND")).length;
    assertEquals(lines.at(-1), `behind a contender on Neon's package in ${behind} of 4`);
    assert(svgOf(cells[0]!, CHARTS[1]!).includes(OURS));
  },
});
