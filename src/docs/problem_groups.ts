/** Kinds of problem that many routes share. */

import type { ProblemKind } from "../http/problem.ts";

/** Of every route: the first is also a bad `Host`, and `internal` also a service with bad settings. */
export const ofAll: readonly ProblemKind[] = ["malformed-request", "internal", "shutting-down"];

/** Of every route that asks for a token. */
export const ofTokens: readonly ProblemKind[] = [
  "token-missing",
  "token-invalid",
  "insufficient-scope",
  "keys-unavailable",
  "rate-limited",
  "too-many-at-once",
];

/** Of every route that asks the database. */
export const ofDatabase: readonly ProblemKind[] = [
  "overloaded",
  "database-unreachable",
  "contention",
  "deadline-exceeded",
];

/** Of every route that changes something. */
export const ofChanges: readonly ProblemKind[] = [
  ...ofDatabase,
  "conflict",
  "outcome-unknown",
  "rows-lost",
];

/** Of every route that reads a body. */
export const ofBodies: readonly ProblemKind[] = [
  "body-too-slow",
  "body-too-large",
  "unsupported-media-type",
  "invalid-body",
];

/** Of every route that takes an `Idempotency-Key`. */
export const ofKeys: readonly ProblemKind[] = ["request-under-way", "idempotency-key-reused"];
