/** For Hono apps: sessions in handlers, and problem documents for their failures. */

export { bodyOf } from "./body_of.ts";
export { databaseProblem } from "./database_problem.ts";
export {
  type InputError,
  type Problem,
  type ProblemDetails,
  respondWithProblem,
} from "./problem_document.ts";
export {
  type DatabaseEnv,
  type DatabaseSource,
  type DatabaseVariables,
  provideDatabase,
  type RequestDatabase,
  withSession,
} from "./with_session.ts";
export { type StreamingSessionOptions, withStreamingSession } from "./with_streaming_session.ts";
