/** The service's Worker with Durable Objects that the runtime resets at every `RESET_EVERY`th request. `/resets` counts them. */
import worker, { DatabaseObject as ServiceObject } from "../../src/worker.ts";

let resets = 0;

export default {
  fetch(...args: Parameters<typeof worker.fetch>): Promise<Response> {
    const { pathname } = new URL(args[0].url);
    return pathname === "/resets" ? Promise.resolve(Response.json(resets)) : worker.fetch(...args);
  },
};

export class DatabaseObject extends ServiceObject {
  #count = 0;

  override fetch(request: Request): Promise<Response> {
    if (++this.#count < Number(this.env["RESET_EVERY"])) return super.fetch(request);
    resets++;
    (this.ctx as unknown as { abort(reason: string): void }).abort("reset on purpose");
    return new Promise(() => {});
  }
}
