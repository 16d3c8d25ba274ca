import { type AppOptions, createApp } from "../../src/http/app.ts";
import { Authenticator } from "../../src/access/authenticator.ts";
import { tokens, withToken } from "../support/access.ts";

/** Takes the tokens of the tests, for an app that is built without settings. */
export const authenticator = new Authenticator({ tokens });

export interface TestApp {
  request(path: string, init?: RequestInit): Promise<Response>;
}

/** The app, to which each request that has no token brings the default one of the tests. */
export function testApp(options: Omit<AppOptions, "authenticator">): TestApp {
  const app = createApp({ authenticator, ...options });
  return {
    request: async (path, init) => await app.request(path, withToken(init)),
  };
}
