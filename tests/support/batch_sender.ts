/** Source of a Worker that hands batches of messages to another Worker as Cloudflare Queues does, and returns its answer. */
export const BATCH_SENDER = `export default {
  async fetch(request, { SERVICE }) {
    const { pathname } = new URL(request.url);
    if (pathname === "/_scheduled") {
      return Response.json(await SERVICE.scheduled({ scheduledTime: new Date(), cron: "* * * * *" }));
    }
    const queue = /^\\/_queue\\/(.+)$/.exec(pathname)?.[1];
    if (queue === undefined) return await SERVICE.fetch(request);
    const messages = (await request.json()).map((message) => ({ ...message, timestamp: new Date() }));
    return Response.json(await SERVICE.queue(queue, messages));
  },
};`;

/** What a Worker did with a batch. */
export interface BatchAnswer {
  readonly outcome: string;
  readonly explicitAcks: readonly string[];
  readonly retryMessages: readonly { readonly msgId: string; readonly delaySeconds?: number }[];
}
