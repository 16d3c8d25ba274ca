/** The default HTTP server on a real socket, for its tests. */
import type { Refused } from "../../src/deno/connections.ts";
import type { Handler } from "../../src/deno/exchange.ts";
import { Listener, type ListenerOptions } from "../../src/deno/listener.ts";
import { attack, type Attacker, leave } from "../hostile/clients.ts";

export interface Listening extends AsyncDisposable {
  readonly listener: Listener;
  readonly refused: Refused[];
  readonly errors: string[];
  open(address?: string): Promise<Attacker>;
}

const hello: Handler = () => new Response("hello");

export async function listening(
  options: Partial<ListenerOptions> = {},
): Promise<Listening> {
  const refused: Refused[] = [];
  const errors: string[] = [];
  const listener = await Listener.listen({
    hostname: "127.0.0.1",
    port: 0,
    handler: hello,
    max: 100,
    maxPerClient: 100,
    backlog: 128,
    onError: (error) => errors.push(String(error)),
    onSilence: () => {},
    onRefused: (reason) => refused.push(reason),
    ...options,
  });
  const clients: Attacker[] = [];
  return {
    listener,
    refused,
    errors,
    async open(address = "127.0.0.1") {
      const client = await attack(listener.port, { address });
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      await leave(clients);
      await listener.close({ timeoutMs: 1_000 });
    },
  };
}

export async function received({ socket, closed }: Attacker): Promise<void> {
  await Promise.race([closed, new Promise((resolve) => socket.once("data", resolve))]);
}

export async function answered(client: Attacker, count = 1): Promise<string> {
  const answers = () => client.received.split("HTTP/1.1 ").length - 1;
  while (!client.isClosed && (answers() < count || !client.received.endsWith("hello"))) {
    await received(client);
  }
  return client.received;
}

export const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
