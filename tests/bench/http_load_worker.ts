/** The thread of `http_load.ts`. */
import { BEARER } from "../support/token.ts";
import type { HttpLoad } from "./http_load.ts";

const thread = globalThis as unknown as {
  onmessage(event: MessageEvent<HttpLoad>): void;
  postMessage(failure: string): void;
};

thread.onmessage = async ({ data: { url, requests, atOnce, creates = false } }) => {
  let left = requests;
  let failure = "";
  const ask = async () => {
    while (left-- > 0) {
      const response = await (creates ? create(url) : fetch(url, { headers: BEARER }));
      await response.arrayBuffer();
      if (!response.ok) failure = `${url} answered ${response.status}`;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, ask));
  thread.postMessage(failure);
};

function create(url: string): Promise<Response> {
  const body = JSON.stringify({ email: `${crypto.randomUUID()}@example.org`, name: "Ann" });
  return fetch(url, {
    method: "POST",
    headers: { ...BEARER, "Content-Type": "application/json" },
    body,
  });
}
