/** Somebody between a client and a server with TLS, with a certificate of their own, who reads and changes what passes. */
import { type AddressInfo, connect, type Socket } from "node:net";
import { connect as connectTls, createServer } from "node:tls";
import { TLS_REQUEST } from "../../src/library/tls_request.ts";
import { makeCertificate } from "./certificates.ts";
import { TcpHop } from "./tcp_hop.ts";

export interface TlsMiddle extends AsyncDisposable {
  readonly port: number;
}

/** `toClient` returns what the client gets in place of the bytes of the server. */
export async function startTlsMiddle(
  { port }: { port: number },
  toClient = (bytes: Uint8Array): Uint8Array => bytes,
): Promise<TlsMiddle> {
  const stack = new AsyncDisposableStack();
  const { pem, keyPem } = makeCertificate("In the middle", { dnsNames: ["localhost"] });
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    return socket;
  };
  const inside = createServer({ cert: pem, key: keyPem }, (client) => {
    keep(client as unknown as Socket);
    const plain = keep(connect({ host: "127.0.0.1", port }));
    plain.write(TLS_REQUEST);
    plain.once("data", () => {
      const server = connectTls({ socket: plain, rejectUnauthorized: false });
      keep(server as unknown as Socket);
      client.on("data", (chunk) => server.write(chunk));
      server.on("data", (chunk) => client.write(toClient(chunk as Uint8Array)));
      client.on("close", () => server.destroy());
      server.on("close", () => client.destroy());
    });
  });
  await new Promise<void>((resolve) => inside.listen(0, "127.0.0.1", resolve));
  stack.defer(async () => {
    const closed = new Promise<void>((resolve) => inside.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  const { port: insidePort } = inside.address() as AddressInfo;
  const outside = stack.use(
    await TcpHop.answering((client: Socket) => {
      client.once("data", () => {
        client.pause();
        const tls = keep(connect({ host: "127.0.0.1", port: insidePort }));
        client.pipe(tls).pipe(client);
        client.on("close", () => tls.destroy());
        tls.on("close", () => client.destroy());
        client.write("S");
      });
    }),
  );
  return { port: outside.port, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
