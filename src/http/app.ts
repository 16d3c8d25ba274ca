/** The service as a Hono app. Takes all it needs as arguments, so that it runs on every runtime and in tests. */

import { type Context, Hono, type MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import { requestId, type RequestIdVariables } from "hono/request-id";
import { PoolClosedError, type TransactionRunner } from "../db/mod.ts";
import { healthRoutes } from "./health_routes.ts";
import { problem, respondWithProblem } from "./problem.ts";
import { problemOf } from "./problem_of.ts";
import { problemRoutes } from "./problem_routes.ts";
import { usersRoutes } from "./users_routes.ts";
import { asError, provideDatabase } from "./with_session.ts";

/** Told of every answer with status 500 or above. */
export interface FailedRequest {
  readonly error: Error;
  readonly status: number;
  readonly method: string;
  readonly path: string;
  /** The pattern that the path matched. */
  readonly route: string;
  readonly requestId: string;
}

export interface AppOptions {
  /** On Workers a function, which makes or finds the database of one request. */
  readonly db: TransactionRunner | ((c: Context) => TransactionRunner);
  /** For logs. Must not throw. */
  readonly onFailure?: ((request: FailedRequest) => void) | undefined;
  /** Runs around each request, however that is answered. */
  readonly around?: readonly MiddlewareHandler[] | undefined;
  /** Routes for operators, who may still look while the service ends. */
  readonly opsRoutes?: readonly Hono[] | undefined;
  /** Whether the service is ending and wants no new requests. */
  readonly isDraining?: (() => boolean) | undefined;
  /** Told after a change to a user was committed, which has left an event; nobody waits for it. */
  readonly onUserChange?: ((c: Context) => void | Promise<void>) | undefined;
  /** Longest wait of `/readyz` for the database. */
  readonly readyTimeoutMs?: number | undefined;
}

export type AppEnv = { Variables: { db: TransactionRunner } & RequestIdVariables };

/** The whole service: users, health, and the descriptions of its problems. */
export function createApp(options: AppOptions): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(requestId());
  for (const middleware of options.around ?? []) app.use(middleware);
  app.use(async function onlyErrors(_c, next) {
    try {
      await next();
    } catch (thrown) {
      throw asError(thrown);
    }
  });
  for (const routes of options.opsRoutes ?? []) app.route("/", routes);
  app.use(async function refuseWhileDraining(c, next) {
    // Whoever watches the process may still see that it lives.
    if (options.isDraining?.() && c.req.path !== "/healthz") {
      throw new PoolClosedError("Cannot take requests as the service is draining");
    }
    await next();
  });
  app.use(provideDatabase(options.db));
  app.route("/", usersRoutes({ onChange: options.onUserChange ?? (() => {}) }));
  app.route("/", healthRoutes(options));
  app.route("/", problemRoutes);
  app.notFound((c) =>
    respondWithProblem(
      c,
      problem("not-found", {
        detail: "Cannot find this address; the service knows /users, /healthz and /readyz",
      }),
    )
  );
  app.onError((error, c) => {
    const answer = problemOf(error);
    if (answer.status >= 500) {
      options.onFailure?.({
        error,
        status: answer.status,
        method: c.req.method,
        path: c.req.path,
        route: routePath(c, -1),
        requestId: c.var.requestId,
      });
    }
    return respondWithProblem(c, answer);
  });
  return app;
}
