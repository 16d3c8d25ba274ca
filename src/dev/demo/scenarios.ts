import type { Scenario } from "./runner.ts";
import { conflict, killedBusy, killedIdle, lostCommit } from "./scenarios/failures.ts";
import { bound, overflow, recycle } from "./scenarios/pool.ts";
import { consumer, shutdown } from "./scenarios/service.ts";
import { commit, forgottenCommit, rollback } from "./scenarios/sessions.ts";

/** In the order in which the demonstration runs them. */
export const scenarios: readonly Scenario[] = [
  commit,
  rollback,
  forgottenCommit,
  bound,
  overflow,
  recycle,
  conflict,
  killedIdle,
  killedBusy,
  lostCommit,
  consumer,
  shutdown,
];
