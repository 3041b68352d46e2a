import { once } from "node:events";
import type { Duplex } from "node:stream";
import { constants, createDeflate } from "node:zlib";
import { http } from "../api/http-call.ts";

/*
 * The client's side of SPDY/3.1, as far as a container runtime's streaming server needs it. Its
 * WebSocket has no way to say that the input has ended, so `cat` would wait for ever; this has.
 * Neither side of it has ever counted windows, and headers are compressed without the dictionary.
 */

const SYN_STREAM = 1;
const RST_STREAM = 3;
const PING = 6;
const GOAWAY = 7;
const FIN = 1;
const HEAD_BYTES = 8;
const MAX_FRAME_BYTES = 16 * 1024 * 1024;
const OPEN_MS = 10_000;

export type Spdy = {
  /** A new stream, with these headers; answers its number. */
  open(headers: Readonly<Record<string, string>>): Promise<number>;
  /** Resolves when the network has taken it. `end` closes our side of the stream. */
  write(stream: number, bytes: Uint8Array, end?: boolean): Promise<void>;
  pause(): void;
  resume(): void;
  destroy(): void;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
};

/** What the other side sends: some bytes of a stream, and whether they are its last. */
export type OnBytes = (stream: number, bytes: Buffer, last: boolean) => void;

/** Asks the URL for a connection; rejects when it does not switch to SPDY. */
export async function openSpdy(
  url: string,
  headers: Readonly<Record<string, string>>,
  onBytes: OnBytes,
): Promise<Spdy> {
  const request = http.request(url, {
    method: "POST",
    agent: false,
    timeout: OPEN_MS,
    headers: { connection: "Upgrade", upgrade: "SPDY/3.1", ...headers },
  });
  request.once("timeout", () => request.destroy(new Error("the streaming server is silent")));
  request.once("response", (answer) => {
    request.destroy(new Error(`the streaming server answered ${answer.statusCode}`));
  });
  request.end();
  const [, socket, head] = (await once(request, "upgrade")) as [unknown, Duplex, Buffer];
  request.setTimeout(0);
  return speak(socket, head, onBytes);
}

function speak(socket: Duplex, head: Buffer, onBytes: OnBytes): Spdy {
  const closed = Promise.withResolvers<void>();
  const compress = openCompressor();
  const read = openReader((frame) => take(frame));
  let nextStream = 1;
  socket.on("error", () => socket.destroy());
  socket.once("close", closed.resolve);
  socket.on("data", (bytes: Buffer) => {
    if (!read(bytes)) socket.destroy();
  });
  if (head.length > 0) read(head);

  function take({ control, type, flags, stream, payload }: Frame): void {
    if (!control) onBytes(stream, payload, (flags & FIN) !== 0);
    else if (type === PING) socket.write(controlFrame(PING, 0, payload));
    else if (type === RST_STREAM) onBytes(payload.readUInt32BE(0), Buffer.alloc(0), true);
    else if (type === GOAWAY) socket.end();
  }

  async function send(bytes: Buffer): Promise<void> {
    if (socket.destroyed || socket.write(bytes)) return;
    await Promise.race([once(socket, "drain"), closed.promise]);
  }

  return {
    closed: closed.promise,
    async open(headers) {
      const stream = nextStream;
      nextStream += 2;
      const start = Buffer.alloc(10);
      start.writeUInt32BE(stream, 0);
      const block = await compress(headerBlock(headers));
      await send(controlFrame(SYN_STREAM, 0, Buffer.concat([start, block])));
      return stream;
    },
    async write(stream, bytes, end = false) {
      const start = Buffer.alloc(HEAD_BYTES);
      start.writeUInt32BE(stream, 0);
      start.writeUInt32BE(bytes.length, 4);
      start.writeUInt8(end ? FIN : 0, 4);
      await send(Buffer.concat([start, bytes]));
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    destroy: () => socket.destroy(),
  };
}

type Frame = {
  readonly control: boolean;
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
};

/** Cuts what comes into frames; false for one that is larger than any honest one. */
function openReader(onFrame: (frame: Frame) => void): (bytes: Buffer) => boolean {
  let waiting: Buffer = Buffer.alloc(0);
  return (bytes) => {
    waiting = waiting.length === 0 ? bytes : Buffer.concat([waiting, bytes]);
    while (waiting.length >= HEAD_BYTES) {
      const length = waiting.readUIntBE(5, 3);
      if (length > MAX_FRAME_BYTES) return false;
      if (waiting.length < HEAD_BYTES + length) return true;
      const control = ((waiting[0] ?? 0) & 0x80) !== 0;
      const frame = {
        control,
        type: control ? waiting.readUInt16BE(2) : 0,
        flags: waiting.readUInt8(4),
        stream: control ? 0 : waiting.readUInt32BE(0),
        payload: waiting.subarray(HEAD_BYTES, HEAD_BYTES + length),
      };
      waiting = waiting.subarray(HEAD_BYTES + length);
      onFrame(frame);
    }
    return true;
  };
}

function controlFrame(type: number, flags: number, payload: Buffer): Buffer {
  const start = Buffer.alloc(HEAD_BYTES);
  start.writeUInt16BE(0x8003, 0);
  start.writeUInt16BE(type, 2);
  start.writeUInt32BE(payload.length, 4);
  start.writeUInt8(flags, 4);
  return Buffer.concat([start, payload]);
}

function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(headers);
  const texts = entries.flatMap(([name, value]) => [name.toLowerCase(), value]);
  return Buffer.concat([
    count(entries.length),
    ...texts.flatMap((it) => [count(Buffer.byteLength(it)), Buffer.from(it)]),
  ]);
}

function count(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}

/** All header blocks of a connection are one compressed stream. */
function openCompressor(): (bytes: Buffer) => Promise<Buffer> {
  const deflate = createDeflate({ flush: constants.Z_SYNC_FLUSH });
  return async (bytes) => {
    const flushed = Promise.withResolvers<void>();
    deflate.write(bytes, () => flushed.resolve());
    await flushed.promise;
    return (deflate.read() as Buffer | null) ?? Buffer.alloc(0);
  };
}
