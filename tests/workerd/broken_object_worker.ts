/** The service's Worker with Durable Objects that abort on every request. */
export { default } from "../../src/worker.ts";

export class DatabaseObject {
  readonly #ctx: { abort(reason: string): void };

  constructor(ctx: { abort(reason: string): void }) {
    this.#ctx = ctx;
  }

  fetch(): Promise<Response> {
    this.#ctx.abort("broken on purpose");
    return new Promise(() => {});
  }
}
