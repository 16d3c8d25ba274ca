/** Used to test `startWorkerd`: shows the bindings that a Worker gets, and throws errors for the log. */
interface ProbeEnv {
  readonly GREETING: string;
  readonly COUNTER: {
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
}

export class Counter {
  #count = 0;

  fetch(): Response {
    return new Response(String(++this.#count));
  }
}

let arrived = 0;
let aborted = 0;

export default {
  async fetch(request: Request, env: ProbeEnv): Promise<Response> {
    switch (new URL(request.url).pathname) {
      case "/binding":
        return new Response(env.GREETING);
      case "/counter":
        return await env.COUNTER.get(env.COUNTER.idFromName("one")).fetch(request);
      case "/meet":
        // Answers when three requests are running. Each has a timer of its own, because workerd cancels a request that
        // waits only for another request.
        arrived++;
        while (arrived < 3) await new Promise((resolve) => setTimeout(resolve, 1));
        return new Response("met");
      case "/watch":
        request.signal.addEventListener("abort", () => aborted++);
        return new Response("watched");
      case "/aborted":
        return new Response(String(aborted));
      case "/throw-in-timer":
        setTimeout(() => {
          throw new Error("thrown without a handler");
        }, 0);
        break;
      case "/reject":
        Promise.reject(new Error("rejected without a handler"));
        break;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
    console.error("probe over");
    return new Response();
  },
};
