import type { Step } from "./play.ts";
import { conflict, killedBusy, killedIdle, lostCommit } from "./steps/failures.ts";
import { bound, overflow, recycle } from "./steps/pool.ts";
import { consumer, shutdown } from "./steps/service.ts";
import { commit, forgottenCommit, rollback } from "./steps/sessions.ts";

/** In the order in which they are shown. */
export const steps: readonly Step[] = [
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
