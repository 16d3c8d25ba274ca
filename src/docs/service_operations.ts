/** The routes beside the users: health, and what the service says of itself. All answer without a token. */

import type { Answer, Operation } from "./operation.ts";
import { ofDatabase } from "./problem_groups.ts";

const JSON_TYPE = "application/json";
const HTML = "text/html; charset=utf-8";

/** The answers of a file that a client may keep. */
function file(description: string, content: NonNullable<Answer["content"]>): Operation["answers"] {
  return {
    200: { description, content, headers: ["ETag"] },
    304: { description: "What you have is current.", headers: ["ETag"] },
  };
}

export const serviceOperations: readonly Operation[] = [
  {
    method: "get",
    path: "/healthz",
    id: "isAlive",
    tag: "Service",
    summary: "Liveness",
    description: "Answered while the process runs, without the database.",
    isPublic: true,
    answers: { 200: { description: "The process runs.", content: { [JSON_TYPE]: "Alive" } } },
    problems: [],
  },
  {
    method: "get",
    path: "/readyz",
    id: "isReady",
    tag: "Service",
    summary: "Readiness",
    description:
      "Whether the database answers through the pool within 2 s, and lacks no migration of this version.",
    isPublic: true,
    answers: { 200: { description: "Ready.", content: { [JSON_TYPE]: "Ready" } } },
    problems: [...ofDatabase, "migrations-missing", "policies-bypassed"],
  },
  {
    method: "get",
    path: "/openapi.json",
    id: "readOpenApi",
    tag: "Documentation",
    summary: "This document",
    isPublic: true,
    parameters: ["If-None-Match"],
    answers: file("An OpenAPI 3.1 document.", { [JSON_TYPE]: "any" }),
    problems: ["not-found"],
  },
  {
    method: "get",
    path: "/docs",
    id: "readDocs",
    tag: "Documentation",
    summary: "The reference as a page",
    isPublic: true,
    parameters: ["If-None-Match"],
    answers: file("A page for people.", { [HTML]: "text" }),
    problems: ["not-found"],
  },
  {
    method: "get",
    path: "/docs/docs.css",
    id: "readDocsStyle",
    tag: "Documentation",
    summary: "The style of the pages",
    isPublic: true,
    parameters: ["If-None-Match"],
    answers: file("A style sheet.", { "text/css; charset=utf-8": "text" }),
    problems: ["not-found"],
  },
  {
    method: "get",
    path: "/problems",
    id: "listProblems",
    tag: "Documentation",
    summary: "List the kinds of problem",
    description: "A page for browsers, and JSON for others, by `Accept`.",
    isPublic: true,
    parameters: ["If-None-Match"],
    answers: file("Every kind of problem.", { [JSON_TYPE]: "ProblemKinds", [HTML]: "text" }),
    problems: ["not-found"],
  },
  {
    method: "get",
    path: "/problems/:kind",
    id: "readProblem",
    tag: "Documentation",
    summary: "What a kind of problem means",
    description:
      "A page for browsers, and JSON for others, by `Accept`. Problem documents have this address as their `type`.",
    isPublic: true,
    parameters: ["kind", "If-None-Match"],
    answers: file("What happened, and what to do.", { [JSON_TYPE]: "ProblemKind", [HTML]: "text" }),
    problems: ["not-found"],
  },
];
