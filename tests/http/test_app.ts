import { type AppOptions, createApp } from "../../src/http/app.ts";
import { Authenticator } from "../../src/access/authenticator.ts";
import { tokens, withToken } from "../support/access.ts";
import { AnswerLog } from "../support/openapi.ts";
import type { SendRequest } from "./requests.ts";

/** Takes the tokens of the tests, for an app that is built without settings. */
export const authenticator = new Authenticator({ tokens });

const answers = new AnswerLog();

Deno.test.afterAll(() => answers.assertDocumented());

export interface TestApp {
  readonly request: SendRequest;
}

/**
 * The app, to which each request that has no token brings the default one of the tests. At the end of the file's tests,
 * every answer is compared with the OpenAPI document.
 */
export function testApp(options: Omit<AppOptions, "authenticator">): TestApp {
  const app = createApp({ authenticator, ...options });
  return {
    request: answers.watch(async (path, init) => await app.request(path, withToken(init))),
  };
}
