/** `host`: Host headers that end the host within a URL. */
import { type Measure, zero } from "../endurance/verdict.ts";
import { hostCases, statusOfRaw } from "../http/host_cases.ts";
import { usageRows } from "./connections.ts";
import { startTarget } from "./target.ts";

export async function host(): Promise<Measure[]> {
  await using target = await startTarget({ env: { OPS_TOKEN: "a-token-of-24-characters" } });
  const before = await target.usage();
  const counts = new Map<number, number>();
  for (const { head } of hostCases) {
    const body = head.startsWith("GET") ? "" : '{"email":"host@example.org","name":"Host"}';
    const status = await statusOfRaw(target.port, head, body);
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  const during = await target.usage();
  return [
    ["requests", hostCases.length],
    ["answered with 400", counts.get(400) ?? 0],
    ["answered otherwise", hostCases.length - (counts.get(400) ?? 0), zero],
    ["users created", await target.countUsers(), zero],
    ...await usageRows(target, { before, during }),
  ];
}
