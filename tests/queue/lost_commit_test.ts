/** Messages whose COMMIT has an unknown outcome take effect once. */
import { assertEquals } from "@std/assert";
import type { ResolveCommit } from "../../src/db/session/commit_outcome.ts";
import { Consumer, type MessageFailure } from "../../src/queue/consumer.ts";
import type { Consume, Delivery } from "../../src/queue/transport.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import { parseUserEvent } from "../../src/users/user_event.ts";
import { newUserId } from "../../src/users/user_id.ts";
import { type FaultBranch, faultBranch } from "../support/fault_branch.ts";
import { COMMIT, COMMIT_EXECUTE, dropAfter, dropBefore } from "../support/fault_relay.ts";
import { localDatabase } from "../support/local_database.ts";
import { countsOf } from "./events.ts";

const database = await localDatabase();
const unresolvable: ResolveCommit = () =>
  Promise.resolve({ outcome: "unknown", reason: "unreachable" });

let events = 0;

function deliver(outcomes: string[], attempts = 1): Delivery {
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
    ack: () => void outcomes.push("ack"),
    retry: () => void outcomes.push("retry"),
  };
}

function consumerOn(
  branch: FaultBranch,
): { consume: Consume; failures: MessageFailure[] } {
  const failures: MessageFailure[] = [];
  const { consume } = new Consumer({
    db: branch.open({}, unresolvable),
    name: "lost",
    parse: parseUserEvent,
    handler: (events) => [recordActivity(events)],
    onFailure: (failure) => failures.push(failure),
  });
  return { consume, failures };
}

for (
  const [what, point, fault] of [
    ["that the server executed", COMMIT_EXECUTE, dropAfter],
    ["that never reached it", COMMIT, dropBefore],
  ] as const
) {
  Deno.test(`messages that share a lost COMMIT ${what} are run again at once, one by one, each under its key`, async () => {
    await using branch = await faultBranch(database);
    const { consume, failures } = consumerOn(branch);
    const before = await countsOf(branch);
    const outcomes: string[] = [];
    // Warms up the connection.
    await consume([deliver(outcomes)]);
    const deliveries = [deliver(outcomes), deliver(outcomes), deliver(outcomes)];
    const armed = branch.relay.when(point, fault());
    await consume(deliveries);
    assertEquals([armed.strikes, outcomes, failures], [1, ["ack", "ack", "ack", "ack"], []]);
    const after = await countsOf(branch);
    assertEquals([after.activity - before.activity, after.dead], [4, 0]);
  });

  Deno.test(`a single message with a lost COMMIT ${what} is run again at once, under its key`, async () => {
    await using branch = await faultBranch(database);
    const { consume, failures } = consumerOn(branch);
    const before = await countsOf(branch);
    const outcomes: string[] = [];
    await consume([deliver(outcomes)]);
    const armed = branch.relay.when(point, fault());
    await consume([deliver(outcomes, 2)]);
    assertEquals([armed.strikes, outcomes, failures], [1, ["ack", "ack"], []]);
    assertEquals((await countsOf(branch)).activity - before.activity, 2);
  });
}
