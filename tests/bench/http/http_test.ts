/** A short run: the benchmark starts its contenders, and finds the figures. What they are does not matter here. */
import { assert, assertEquals } from "@std/assert";
import { HAND_WRITTEN, OURS } from "./contender.ts";
import { benchHttp } from "./http.ts";
import { CHARTS, svgOf } from "./http_charts.ts";
import { verdicts } from "./http_goals.ts";
import { httpTable } from "./http_table.ts";
import { OPERATIONS } from "./operations.ts";

const CONTENDERS = [HAND_WRITTEN, OURS];

Deno.test({
  name: "each operation has figures of each contender, a table, a chart and a verdict",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const turns = { rounds: 2, turnMs: 100, warmUpMs: 20, firstWarmUpMs: 20 };
    const plan = OPERATIONS.map((operation) => (
      { ...turns, operation, latencyMs: 0, connections: 16 }
    ));
    const only = ({ name }: { name: string }) => CONTENDERS.includes(name);
    const cells = await benchHttp({ full: false, plan, only });
    assertEquals(cells.map(({ operation }) => operation), [...OPERATIONS]);
    for (const { contenders } of cells) {
      assertEquals(contenders.map(({ name }) => name), CONTENDERS);
      for (const turn of contenders.flatMap(({ turns }) => turns)) {
        for (const [figure, value] of Object.entries(turn)) {
          assert(Number.isFinite(value) && value > 0, `${figure} is ${value}`);
        }
      }
    }
    assert(httpTable(cells).includes(`| ${OURS} |`));
    assertEquals(verdicts(cells).length, 6);
    assert(svgOf(cells[0]!, CHARTS[1]!).includes(OURS));
  },
});
