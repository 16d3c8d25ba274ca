/** How the bytes of HTTP requests reach a server: each request at once, or in small parts. For `TcpHop`. */
import { Buffer } from "node:buffer";
import { Transform } from "node:stream";

/** Holds a request back until all of it has come, and sends it in one write. */
export function whole(): Transform {
  let held = Buffer.alloc(0);
  return new Transform({
    transform(chunk, _encoding, done) {
      held = Buffer.concat([held, chunk]);
      for (let length = lengthOf(held); length <= held.length; length = lengthOf(held)) {
        this.push(held.subarray(0, length));
        held = held.subarray(length);
      }
      done();
    },
  });
}

/** Of the first request in `bytes`; `Infinity` if its end is not there. */
function lengthOf(bytes: Buffer): number {
  const headLength = bytes.indexOf("\r\n\r\n") + 4;
  if (headLength === 3) return Infinity;
  const head = bytes.toString("latin1", 0, headLength);
  if (/\r\ntransfer-encoding: *chunked\r\n/i.test(head)) {
    // The bodies of the tests have no line breaks of their own.
    const last = "\r\n0\r\n\r\n";
    const end = bytes.indexOf(last, headLength - 2);
    return end === -1 ? Infinity : end + last.length;
  }
  return headLength + Number(/\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1] ?? 0);
}

/** The sizes of parts, over and over. The first ones cut within a head. */
const SIZES = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 1, 1_000, 4_096, 65_535, 65_536, 65_537, 1];

/** Sends the bytes in parts, each in its own turn of the event loop. */
export function inParts(): Transform {
  let count = 0;
  return new Transform({
    async transform(chunk: Buffer, _encoding, done) {
      for (let at = 0; at < chunk.length;) {
        const size = SIZES[count++ % SIZES.length]!;
        this.push(chunk.subarray(at, at + size));
        at += size;
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      done();
    },
  });
}
