/** The one table from errors to responses. The response to an error that is not in it reveals nothing of the error. */

import { HTTPException } from "hono/http-exception";
import { AccessRefusedError } from "../access/identity.ts";
import { EmailTakenError, UserNotFoundError, VersionMismatchError } from "../users/user_errors.ts";
import { databaseProblem } from "../library/hono/database_problem.ts";
import { entityTag } from "./entity_tag.ts";
import { challenge } from "./identity.ts";
import { KeptRefusalError, type Problem, problem, ProblemError } from "./problem.ts";

/** Beside the pointer to an address that another user has. */
export const EMAIL_TAKEN = "it is taken; upper and lower case are the same";

/** The problem document for `error`, which may be any thrown value. */
export function problemOf(error: unknown): Problem {
  return requestProblem(error) ?? userProblem(error) ?? databaseProblem(error) ??
    problem("internal", {
      detail: "Cannot answer the request as an unexpected error occurred; try again, and if it " +
        "happens again, report the requestId to the operators",
    });
}

function requestProblem(error: unknown): Problem | undefined {
  if (error instanceof ProblemError || error instanceof KeptRefusalError) return error.problem;
  if (error instanceof AccessRefusedError) return accessProblem(error);
  if (error instanceof HTTPException && error.status < 500) return exceptionProblem(error);
  return undefined;
}

/** https://www.rfc-editor.org/rfc/rfc6750#section-3.1. A request without a token gets no error code. */
function accessProblem({ reason, message: detail }: AccessRefusedError): Problem {
  switch (reason) {
    case "missing":
      return problem("token-missing", { detail, headers: challenge() });
    case "malformed":
      return problem("malformed-request", {
        detail,
        errors: [{ header: "Authorization", detail: "it must be Bearer and one token" }],
        headers: challenge({ error: "invalid_request" }),
      });
    case "invalid":
      return problem("token-invalid", { detail, headers: challenge({ error: "invalid_token" }) });
    case "unavailable":
      return problem("keys-unavailable", { detail, headers: { "Retry-After": "2" } });
  }
}

/** Hono's own middleware refuses requests with this class. The client needs its headers, such as `WWW-Authenticate`. */
function exceptionProblem(error: HTTPException): Problem {
  const headers = Object.fromEntries(error.getResponse().headers);
  delete headers["content-type"];
  delete headers["content-length"];
  return {
    type: "about:blank",
    status: error.status as Problem["status"],
    title: `The request was refused with status ${error.status}`,
    detail: "Cannot serve the request; see the status and the headers for the reason",
    headers,
  };
}

function userProblem(error: unknown): Problem | undefined {
  if (error instanceof EmailTakenError) {
    return problem("email-taken", {
      detail: error.message,
      errors: [{ pointer: "/email", detail: EMAIL_TAKEN }],
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
