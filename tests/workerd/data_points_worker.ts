/** The service with a dataset for its metrics, which keeps the data points and gives them away at `/_points`. */
import type { ExecutionContext } from "cloudflare:workers";
import type { Dataset } from "../../src/ops/data_points.ts";
import type { QueueBatch } from "../../src/queue/cloudflare_queue.ts";
import worker, { DatabaseObject as ServiceObject } from "../../src/worker.ts";
import type { Bindings } from "../../src/workers/settings.ts";

export type DataPoint = Parameters<Dataset["writeDataPoint"]>[0];

const points: DataPoint[] = [];
/** Refuses the points of requests to this path, and of batches of this queue. */
const REFUSED = ["/healthz", "refused-events"];

const METRICS: Dataset = {
  writeDataPoint(point) {
    if (REFUSED.some((each) => point.blobs.includes(each))) {
      throw new TypeError("the dataset refuses it");
    }
    points.push(point);
  },
};

/** The same object for the same bindings, as the runtime passes it. */
const all = new WeakMap<Bindings, Bindings>();

function withDataset(bindings: Bindings): Bindings {
  const known = all.get(bindings) ?? { ...bindings, METRICS };
  all.set(bindings, known);
  return known;
}

export class DatabaseObject extends ServiceObject {
  constructor(ctx: ExecutionContext, bindings: Bindings) {
    super(ctx, withDataset(bindings));
  }
}

export default {
  fetch(request: Request, bindings: Bindings, ctx: ExecutionContext): Promise<Response> {
    if (new URL(request.url).pathname === "/_points") {
      return Promise.resolve(Response.json(points.splice(0)));
    }
    return worker.fetch(request, withDataset(bindings), ctx);
  },
  queue: (batch: QueueBatch, bindings: Bindings, ctx: ExecutionContext) =>
    worker.queue(batch, withDataset(bindings), ctx),
};
