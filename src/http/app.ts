/** The service as a Hono app. Everything it needs is an argument, so that it runs on every runtime and in tests. */

import type { Context, MiddlewareHandler } from "hono";
import { Hono, routeOf } from "../hono.ts";
import type { RequestIdVariables } from "hono/request-id";
import type { TransactionRunner } from "../db/mod.ts";
import type { BodyLimit } from "./body.ts";
import { chain, type Step } from "../chain.ts";
import { allowOrigins } from "./cors.ts";
import { type Assets, docsRoutes } from "./docs_routes.ts";
import type { Authenticator } from "../access/authenticator.ts";
import type { Identity } from "../access/identity.ts";
import { fairUse, type FairUseOptions } from "./fair_use/fair_use.ts";
import { healthRoutes } from "./health_routes.ts";
import { authenticate, type IdentityVariables } from "./identity.ts";
import { problem, respondWithProblem } from "./problem.ts";
import { problemOf } from "./problem_of.ts";
import { requestTimeout } from "./request_timeout.ts";
import { responseHeaders, type ResponseHeadersOptions } from "./response_headers.ts";
import { serverTiming } from "./server_timing.ts";
import type { SharedUsers } from "./shared_users.ts";
import { usersRoutes } from "./users_routes.ts";
import { asError, provideDatabase } from "../library/hono/with_session.ts";

/** A request that was answered with status 500 or above. */
export interface FailedRequest {
  readonly error: Error;
  readonly status: number;
  readonly method: string;
  readonly path: string;
  /** The pattern that the path matched, such as `/users/:id`. */
  readonly route: string;
  readonly requestId: string;
}

export interface AppOptions extends ResponseHeadersOptions {
  /** On Workers a function that returns the database of one request. */
  readonly db: TransactionRunner | ((c: Context) => TransactionRunner);
  /** Tells who sends a request, by its token. */
  readonly authenticator: Pick<Authenticator, "identify" | "known">;
  /** Tells who sends a request that needs no token, because the runtime knows. */
  readonly callerOf?: ((c: Context) => Identity | undefined) | undefined;
  /** Called for every response with status 500 or above. Must not throw. */
  readonly onFailure?: ((request: FailedRequest) => void) | undefined;
  /** Run around every request, including those that are refused. Must not throw: what one throws, the others do not see. */
  readonly observers?: readonly Step[] | undefined;
  /** Runs before everything else that may answer. */
  readonly middleware?: readonly MiddlewareHandler[] | undefined;
  /** Routes for operators. They still answer while the service takes no other requests. */
  readonly opsRoutes?: readonly Hono[] | undefined;
  /** Why the service does not take the request. Operators' routes and `/healthz` still answer. */
  readonly refusalOf?: ((c: Context) => Error | undefined) | undefined;
  /** Called after a commit that may have changed users, and written their events. The response does not wait for it. */
  readonly onUserChange?: ((c: Context) => void | Promise<void>) | undefined;
  /**
   * Bounds the bodies that are waited for at once. Not for Workers: a request that the runtime ends would never give its
   * place back, and Cloudflare bounds requests itself.
   */
  readonly bodyLimit?: BodyLimit | undefined;
  /** The files of the documentation. Without them its addresses answer 404. */
  readonly assets?: Assets | undefined;
  /** Origins whose pages may read the responses; `*` is any. None by default. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** What one client may ask for. No limits by default. */
  readonly fairUse?: FairUseOptions | undefined;
  /** The database's own limit for a statement, which a request may shorten. */
  readonly statementTimeoutMs?: number | undefined;
  /** Whether responses tell where their time went: `Server-Timing`. */
  readonly showsTimes?: boolean | undefined;
  /** Whether a change of a user without `If-Match` is refused. */
  readonly requiresIfMatch?: boolean | undefined;
  /** Lets replicas answer the reads of the users API: `databasePosition()`. Without it the primary does. */
  readonly replicaReads?: MiddlewareHandler | undefined;
  /**
   * Lets creates, and reads by id, that come together share a transaction. Only where requests may use each other's
   * connections, and without `replicaReads`: the position of a shared COMMIT is told to one request.
   */
  readonly shared?: SharedUsers | undefined;
  /** Longest wait of `/readyz` for the database. */
  readonly readyTimeoutMs?: number | undefined;
}

export type AppEnv = { Variables: IdentityVariables & RequestIdVariables };

/** Builds the app: users, health and documentation. Its type has the routes, for `client.ts`. */
export function createApp(options: AppOptions) {
  const app = new Hono<AppEnv>();
  const { corsOrigins = [], statementTimeoutMs = Infinity } = options;
  const onError = errorHandler(options);
  app.use(chain(responseHeaders(options), ...options.observers ?? [], answerThrownValues(onError)));
  for (const middleware of options.middleware ?? []) app.use(middleware);
  for (const routes of options.opsRoutes ?? []) app.route("/", routes);
  if (corsOrigins.length > 0) app.use(allowOrigins(corsOrigins));
  app.use(chain(
    refuse(options.refusalOf),
    provideDatabase(options.db),
    requestTimeout({ statementTimeoutMs }),
    ...(options.showsTimes ? [serverTiming()] : []),
  ));
  const { onUserChange: onChange = () => {}, bodyLimit, requiresIfMatch, shared } = options;
  const { byAddress, byToken } = fairUse(options.fairUse ?? {});
  // Public, and without limits: probes come often, and documents cost little.
  const open = app
    .route("/", healthRoutes(options))
    .route("/", docsRoutes(options.assets));
  for (const limit of byAddress) app.use(limit);
  app.use(authenticate(options.authenticator, options.callerOf));
  for (const limit of byToken) app.use(limit);
  if (options.replicaReads !== undefined) app.use(options.replicaReads);
  const routes = open.route(
    "/",
    usersRoutes({ onChange, bodyLimit, requiresIfMatch, shared }),
  );
  app.notFound((c) =>
    respondWithProblem(
      c,
      problem("not-found", {
        detail: "Cannot find this address; see /docs for those that exist",
      }),
    )
  );
  app.onError(onError);
  return routes;
}

function errorHandler({ onFailure }: AppOptions): (error: Error, c: Context) => Response {
  return function answerError(error, c) {
    const document = problemOf(error);
    if (document.status >= 500) {
      onFailure?.({
        error,
        status: document.status,
        method: c.req.method,
        path: c.req.path,
        route: routeOf(c),
        requestId: c.get("requestId"),
      });
    }
    return respondWithProblem(c, document);
  };
}

/** Hono passes only errors to `onError`. */
function answerThrownValues(onError: (error: Error, c: Context) => Response): Step {
  return function answerThrownValue(c, next) {
    return next().catch((thrown) => {
      c.res = onError(asError(thrown), c);
    });
  };
}

function refuse(refusalOf: AppOptions["refusalOf"] = () => undefined): Step {
  return function refuse(c, next) {
    const refusal = refusalOf(c);
    // The process is still alive, so /healthz keeps saying so.
    if (refusal !== undefined && c.req.path !== "/healthz") throw refusal;
    return next();
  };
}
