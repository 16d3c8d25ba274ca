/** The exports for other Hono apps: sessions in handlers, and problem documents for their failures. */

export { databaseProblem } from "./database_problem.ts";
export { type Problem, respondWithProblem } from "./problem.ts";
export {
  type DatabaseVariables,
  provideDatabase,
  withSession,
  type WithSessionOptions,
} from "./with_session.ts";
export {
  withStreamingSession,
  type WithStreamingSessionOptions,
} from "./with_streaming_session.ts";
