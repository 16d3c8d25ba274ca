/** The short forms of the endurance runs on Workers, under the same verdicts as the full ones. */
import { assertEquals } from "@std/assert";
import { textOf } from "../report.ts";
import { type Measure, violationsOf } from "../verdict.ts";
import { WAYS, workersScenario } from "./load.ts";
import { workersQueueScenario } from "./queue.ts";
import { resetsScenario } from "./resets.ts";

const seed = Math.floor(Math.random() * 2 ** 31);
const quiet = () => {};

function enduranceTest(name: string, run: () => Promise<readonly Measure[]>) {
  Deno.test({
    name: `endurance on Workers: ${name}`,
    timeout: 180_000,
    async fn() {
      const report = await run();
      assertEquals(violationsOf(report), [], textOf(report));
    },
  });
}

for (const way of WAYS) {
  enduranceTest(
    `100 clients lose no request and leave nothing behind (${way})`,
    () => workersScenario.run({ ways: [way], clients: 100, seconds: 3, seed }, quiet),
  );
}

enduranceTest(
  "readers see nothing of objects that are reset, and writers are told what is true",
  () => {
    const size = { everyRequests: 100, readers: 16, writers: 4 };
    return resetsScenario.run({ seconds: 8, atMostSeconds: 60, ...size }, quiet);
  },
);

enduranceTest(
  "while random backends are terminated every event takes effect once, also in batches that meet",
  () => {
    // An event that a sweep has taken and not sent is due again after a minute.
    const size = { users: 40, versions: 10, deadlineMs: 150_000 };
    return workersQueueScenario.run({ ...size, killEveryMs: 100, seed }, quiet);
  },
);
