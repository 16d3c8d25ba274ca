/** What each kind of problem means, for its page under `/problems`. A kind without a text is an error of `deno check`. */

import type { ProblemKind } from "../http/problem.ts";

export interface ProblemText {
  /** What happened, and what has been changed. */
  readonly happened: string;
  /** What the client, or its programmer, can do. */
  readonly toDo: string;
}

export const problemTexts: Readonly<Record<ProblemKind, ProblemText>> = {
  "malformed-request": {
    happened:
      "The service could not read the request: its address, a parameter, a header or its JSON does not have the form that HTTP, JSON or this API asks for. Nothing was changed.",
    toDo:
      "Look at `errors` in the answer: each entry names a parameter, a header or a place in the body, and says what to send instead. The same request will be refused again.",
  },
  "token-missing": {
    happened: "The request has no bearer token. Nothing was read or changed.",
    toDo:
      "Send the token that the operators have given you, as `Authorization: Bearer TOKEN`. Under `deno task dev`, the printed `curl` line has one.",
  },
  "token-invalid": {
    happened:
      "The service does not accept the token: no client has it, it has expired, or it was not made for this service. Nothing was read or changed.",
    toDo:
      "Get a new token of the issuer, or ask the operators. The same token will be refused again.",
  },
  "insufficient-scope": {
    happened:
      "The token is valid, but does not allow what the request asks for. Nothing was read or changed.",
    toDo:
      "Use a token with the scope that the response's `WWW-Authenticate` names: `users:read` to read, `users:write` to change.",
  },
  "not-found": {
    happened: "No address of this service has the path of the request. Nothing was changed.",
    toDo:
      "Compare the path with [the reference](/docs). A slash at the end makes another path: `/users/` is not `/users`.",
  },
  "user-not-found": {
    happened:
      "No user has the id of the request: it was deleted, or never existed. Nothing was changed.",
    toDo:
      "Take the id from a user that the API returned. A DELETE that is answered so has nothing left to delete.",
  },
  "method-not-allowed": {
    happened: "The address exists, but does not support the method of the request.",
    toDo: "Use one of the methods in the response's `Allow` header.",
  },
  "body-too-slow": {
    happened:
      "The body of the request did not arrive within 10 seconds, or 30 for a batch. Nothing was changed.",
    toDo: "Send the request again. If it happens often, look at the client's connection.",
  },
  "email-taken": {
    happened:
      "Another user has this e-mail address. Upper and lower case are the same. Nothing was changed.",
    toDo: "Ask for another address, or change the user that has it.",
  },
  "request-under-way": {
    happened:
      "An earlier request with the same `Idempotency-Key`, of this client, is still running. This one has waited for it as long as it may, and has changed nothing.",
    toDo:
      "Send the same request, with the same key, after the seconds in `Retry-After`. The answer will be that of the earlier request.",
  },
  "version-mismatch": {
    happened:
      "The request asked, by `If-Match`, to change a version of the user that is no longer the current one: another request has changed it. Nothing was changed.",
    toDo:
      "Read the user again, make the change on what you read, and send it with the new `ETag`. The response has the current version as its `ETag`.",
  },
  "body-too-large": {
    happened:
      "The body of the request has more than 64 KiB, or 4 MB for a batch. Nothing was changed.",
    toDo: "Send less at once.",
  },
  "unsupported-media-type": {
    happened: "The body is compressed, or not declared as JSON in UTF-8. Nothing was changed.",
    toDo:
      "Send it uncompressed, as `Content-Type: application/json`. The response's `Accept` header lists what the address takes.",
  },
  "invalid-body": {
    happened: "The body is JSON, but a value in it is not allowed. Nothing was changed.",
    toDo:
      "Look at `errors` in the answer: each entry has the place of a value, as a JSON Pointer, and says what to write instead. The same request will be refused again.",
  },
  "idempotency-key-reused": {
    happened:
      "An earlier request with this `Idempotency-Key` asked for something else: its method, address, `If-Match` or body was another. This one has changed nothing.",
    toDo: "Make a new key for each new request. Send a key again only to repeat a request exactly.",
  },
  "precondition-required": {
    happened:
      "The request would change or delete a user, and does not say which version of it. The operators of this service have set `REQUIRE_IF_MATCH`. Nothing was changed.",
    toDo:
      "Read the user, and send the `ETag` of the answer as `If-Match`. Without it, your change could undo one that you have not seen.",
  },
  "conflict": {
    happened: "The change contradicts data that is stored. Nothing was changed.",
    toDo: "Read the resource, and change the request.",
  },
  "outcome-unknown": {
    happened:
      "The connection to the database broke while the change was being committed, and the service could not find out whether it was. It has been made as a whole, or not at all.",
    toDo: "Read the resource to see whether the change was made, before you repeat the request.",
  },
  "rows-lost": {
    happened:
      "The change was made, but its result was lost with the connection to the database, or could not be read.",
    toDo: "Read the resource. Do not repeat the request.",
  },
  "rate-limited": {
    happened:
      "This client has sent more requests than it may: `RateLimit-Policy` has the limit, and `RateLimit` what is left of it. Nothing was changed.",
    toDo:
      "Wait for the seconds in `Retry-After`, and send fewer requests in a second from then on.",
  },
  "too-many-at-once": {
    happened:
      "As many requests of this token are running as it may have at once. Nothing was changed.",
    toDo: "Send the request when one of them is answered, and fewer side by side.",
  },
  "overloaded": {
    happened: "The service has more work than it can do in time. Nothing was changed.",
    toDo: "Send the request again after the seconds in `Retry-After`, plus a random part of them.",
  },
  "database-unreachable": {
    happened: "The service cannot reach its database. Nothing was changed.",
    toDo: "Send the request again after the seconds in `Retry-After`, plus a random part of them.",
  },
  "contention": {
    happened:
      "Other requests were changing the same data, and the service gave up after several attempts. Nothing was changed.",
    toDo: "Send the request again after the seconds in `Retry-After`, plus a random part of them.",
  },
  "shutting-down": {
    happened: "This instance of the service is being stopped, and takes no new requests.",
    toDo: "Send the request again: another instance will answer it.",
  },
  "deadline-exceeded": {
    happened: "The request took longer than it may, and was cancelled. Nothing was changed.",
    toDo: "Ask for less at once, or send it again later.",
  },
  "internal": {
    happened:
      "The service met an unexpected error. The answer says nothing about it, because that could reveal how the service works.",
    toDo:
      "Send the request again. If it fails again, give the `requestId` of the answer to the operators, whose log has the error.",
  },
  "keys-unavailable": {
    happened:
      "The service could not read the keys of the token's issuer, and so cannot tell whether the token is valid. Nothing was read or changed.",
    toDo:
      "Send the request again after `Retry-After`. Operators: look at the address of `AUTH_JWKS_URL`.",
  },
  "policies-bypassed": {
    happened:
      "The role with which the service logs in to its database sees the rows of all tenants, so that nothing keeps them apart. The service reports itself as not ready.",
    toDo:
      "Operators: let `DATABASE_URL` name a role that is no superuser and has no BYPASSRLS. `deno task doctor` tells what the role may do.",
  },
  "migrations-missing": {
    happened: "The database lacks tables or columns of this version of the service.",
    toDo: "Operators: run `deno task migrate` as the owner of the tables.",
  },
};
