/** Messages whose COMMIT is lost, and nobody can say what became of it: they take effect once. */
import { assertEquals } from "@std/assert";
import type { ResolveCommit } from "../../src/db/mod.ts";
import { Consumer, type MessageFailure } from "../../src/queue/consumer.ts";
import type { Delivery } from "../../src/queue/transport.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import { newUserId } from "../../src/users/user_id.ts";
import { type FaultBranch, faultBranch } from "../support/fault_branch.ts";
import { COMMIT, COMMIT_EXECUTE, dropAfter, dropBefore } from "../support/fault_relay.ts";
import { localDatabase } from "../support/local_database.ts";
import { countsOf } from "./events.ts";

const database = await localDatabase();
const nobodyKnows: ResolveCommit = () =>
  Promise.resolve({ outcome: "unknown", reason: "unreachable" });

let events = 0;

function deliver(told: string[], attempts = 1): Delivery {
  const body = {
    id: `${++events}`,
    type: "user.created",
    userId: newUserId(),
    version: 1,
    occurredAt: new Date().toISOString(),
    data: { email: "ann@example.org", name: "Ann" },
  };
  return {
    id: body.id,
    body,
    attempts,
    ack: () => void told.push("ack"),
    retry: () => void told.push("retry"),
  };
}

function consumerOn(
  branch: FaultBranch,
): Pick<Consumer, "consume"> & { failures: MessageFailure[] } {
  const failures: MessageFailure[] = [];
  const { consume } = new Consumer({
    db: branch.open({}, nobodyKnows),
    name: "lost",
    effect: (all) => [recordActivity(all)],
    onFailure: (failure) => failures.push(failure),
  });
  return { consume, failures };
}

for (
  const [what, point, fault] of [
    ["that the server took", COMMIT_EXECUTE, dropAfter],
    ["that never reached it", COMMIT, dropBefore],
  ] as const
) {
  Deno.test(`messages that share a COMMIT ${what} are done one by one at once, each by its key`, async () => {
    await using branch = await faultBranch(database);
    const { consume, failures } = consumerOn(branch);
    const before = await countsOf(branch);
    const told: string[] = [];
    // So that the connection is warm.
    await consume([deliver(told)]);
    const deliveries = [deliver(told), deliver(told), deliver(told)];
    const armed = branch.relay.when(point, fault());
    await consume(deliveries);
    assertEquals([armed.strikes, told, failures], [1, ["ack", "ack", "ack", "ack"], []]);
    const after = await countsOf(branch);
    assertEquals([after.activity - before.activity, after.dead], [4, 0]);
  });

  Deno.test(`a message alone with a COMMIT ${what} is done at once by its key`, async () => {
    await using branch = await faultBranch(database);
    const { consume, failures } = consumerOn(branch);
    const before = await countsOf(branch);
    const told: string[] = [];
    await consume([deliver(told)]);
    const armed = branch.relay.when(point, fault());
    await consume([deliver(told, 2)]);
    assertEquals([armed.strikes, told, failures], [1, ["ack", "ack"], []]);
    assertEquals((await countsOf(branch)).activity - before.activity, 2);
  });
}
