/** The one table from error to response. Nothing of an error that is not in it leaves the service. */

import { HTTPException } from "hono/http-exception";
import { EmailTakenError, UserNotFoundError, VersionMismatchError } from "../users/user_errors.ts";
import { databaseProblem } from "./database_problem.ts";
import { entityTag } from "./entity_tag.ts";
import { type Problem, problem, ProblemError } from "./problem.ts";

/** What `error`, which may be anything that was thrown, is to the client. */
export function problemOf(error: unknown): Problem {
  return requestProblem(error) ?? userProblem(error) ?? databaseProblem(error) ??
    problem("internal", {
      detail: "Cannot answer as something failed that the service does not expect; try again, " +
        "and tell the operators the requestId if it goes on",
    });
}

function requestProblem(error: unknown): Problem | undefined {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof HTTPException && error.status < 500) return exceptionProblem(error);
  return undefined;
}

/** Hono's middleware may refuse a request too, with headers (`WWW-Authenticate`) that the client needs. */
function exceptionProblem(error: HTTPException): Problem {
  const headers = Object.fromEntries(error.getResponse().headers);
  delete headers["content-type"];
  delete headers["content-length"];
  return {
    type: "about:blank",
    status: error.status as Problem["status"],
    title: `The request was refused with status ${error.status}`,
    detail: "Cannot serve the request; the status and the headers say why",
    headers,
  };
}

function userProblem(error: unknown): Problem | undefined {
  if (error instanceof EmailTakenError) {
    return problem("email-taken", {
      detail: error.message,
      errors: [{ pointer: "/email", detail: "it is taken; case makes no difference" }],
    });
  }
  if (error instanceof UserNotFoundError) {
    return problem("user-not-found", { detail: error.message });
  }
  if (error instanceof VersionMismatchError) {
    return problem("version-mismatch", {
      detail: error.message,
      headers: { ETag: entityTag(error.currentVersion) },
    });
  }
  return undefined;
}
