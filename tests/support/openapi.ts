/** The OpenAPI document under npm's validators, which run in a process of their own with a lock of its own. */
import { assertEquals } from "@std/assert";
import { openApiDocument } from "../../src/docs/openapi.ts";
import type { SendRequest } from "../http/requests.ts";
import { lockedOutput } from "./locked_output.ts";

export interface SeenAnswer {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface AnswerJob {
  readonly document: unknown;
  readonly answers: readonly SeenAnswer[];
}

export type Job = AnswerJob | { readonly document: unknown };

/** What two validators of documents say against `document`, and which of its examples contradict it. */
export function violationsOfDocument(document: unknown): Promise<string[]> {
  return run({ document });
}

/** What the answers contradict in the service's document. Members that it does not name count too. */
export function violationsOfAnswers(answers: readonly SeenAnswer[]): Promise<string[]> {
  return run({ document: openApiDocument(), answers });
}

async function run(job: Job): Promise<string[]> {
  return await lockedOutput("openapi", JSON.stringify(job)) as string[];
}

/** Keeps the answers of a file's tests, to compare them with the document at the end. */
export class AnswerLog {
  readonly answers: SeenAnswer[] = [];

  /** Sends as `send` does, and keeps each answer. */
  watch(send: SendRequest): SendRequest {
    return async (path, init = {}) => {
      const response = await send(path, init);
      const method = init.method ?? "GET";
      // Browsers' own, which are no part of the API.
      if (new Headers(init.headers).has("Access-Control-Request-Method")) return response;
      const bytes = await response.bytes();
      this.answers.push({
        method,
        // Not `new URL(path, …)`: it would take `//users` for a host.
        path: new URL(path.startsWith("/") ? `http://localhost${path}` : path).pathname,
        status: response.status,
        headers: Object.fromEntries(response.headers),
        body: new TextDecoder().decode(bytes),
      });
      const { status, headers } = response;
      return new Response(response.body === null ? null : bytes, { status, headers });
    };
  }

  /** Throws if an answer differs from the document. */
  async assertDocumented(): Promise<void> {
    if (this.answers.length > 0) assertEquals(await violationsOfAnswers(this.answers), []);
  }
}
