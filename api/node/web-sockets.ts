import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import { MAX_EXEC_FRAME_BYTES } from "../../contract/node/exec.ts";
import type { Upgrade, Wire } from "../http/wire.ts";

/** Who does not answer two pings in a row is gone. */
const PING_EVERY_MS = 10_000;
/** So many messages wait for us before the other side has to. */
const MAX_WAITING = 16;

type Fetch = (request: Request, bindings: unknown) => Response | Promise<Response>;
type Serve = (wire: Wire) => Promise<void>;
type Accepted = { readonly protocols: readonly string[]; readonly serve: Serve };

export type WebSocketDoor = {
  readonly upgrade: Upgrade;
  /** Takes a request to become a WebSocket; what the app refuses is answered as any request is. */
  enter(fetch: Fetch, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  /** Ends what is still open, at once. */
  terminate(): void;
};

/** WebSockets beside Node.js's HTTP. `onError` hears what `serve` throws. */
export function openWebSocketDoor(onError: (error: unknown) => void): WebSocketDoor {
  const accepted = new WeakMap<Request, Accepted>();
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_EXEC_FRAME_BYTES,
    handleProtocols: (offered, request) => {
      const { protocols } = chosen.get(request) ?? { protocols: [] };
      return protocols.find((it) => offered.has(it)) ?? false;
    },
  });
  const chosen = new WeakMap<IncomingMessage, Accepted>();

  return {
    upgrade: (c, protocols, serve) => {
      accepted.set(c.req.raw, { protocols, serve });
      return new Response(null, { status: 204 });
    },
    enter: async (fetch, incoming, socket, head) => {
      socket.on("error", () => socket.destroy());
      const request = requestOf(incoming);
      const answer = await fetch(request, { incoming });
      const door = accepted.get(request);
      if (!door || !answer.ok) return await refuse(socket, answer);
      chosen.set(incoming, door);
      server.handleUpgrade(incoming, socket, head, (opened) => {
        const wire = wireOf(opened);
        door
          .serve(wire)
          .catch(onError)
          .finally(() => opened.close());
      });
    },
    terminate: () => {
      for (const client of server.clients) client.terminate();
    },
  };
}

function requestOf(incoming: IncomingMessage): Request {
  const headers = new Headers();
  for (const [name, values] of Object.entries(incoming.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  const url = new URL(incoming.url ?? "/", `http://${incoming.headers.host}`);
  return new Request(url, { method: incoming.method ?? "GET", headers });
}

async function refuse(socket: Duplex, answer: Response): Promise<void> {
  const body = Buffer.from(await answer.arrayBuffer());
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const length = `content-length: ${body.length}\r\nconnection: close\r\n`;
  socket.write(`HTTP/1.1 ${answer.status} ${answer.statusText}\r\n${headers}${length}\r\n`);
  socket.end(body);
}

function wireOf(socket: WebSocket): Wire {
  const closed = new AbortController();
  keepAlive(socket, closed.signal);
  const incoming = queueOf(socket, closed.signal);
  socket.once("close", () => closed.abort());
  socket.on("error", () => socket.terminate());
  return {
    incoming,
    closed: closed.signal,
    // A socket that is gone takes nothing, and its `closed` says so.
    send: (message) =>
      new Promise((resolve) => {
        if (socket.readyState !== socket.OPEN) return resolve();
        socket.send(message, { binary: true }, () => resolve());
      }),
    close: (code, reason) => socket.close(code, reason),
  };
}

function keepAlive(socket: WebSocket, closed: AbortSignal): void {
  let answered = true;
  socket.on("pong", () => {
    answered = true;
  });
  const timer = setInterval(() => {
    if (!answered) return socket.terminate();
    answered = false;
    socket.ping();
  }, PING_EVERY_MS);
  closed.addEventListener("abort", () => clearInterval(timer));
}

/** Messages from the moment the socket is open; while too many wait, the other side is not read. */
function queueOf(socket: WebSocket, closed: AbortSignal): AsyncIterable<Uint8Array> {
  const waiting: Uint8Array[] = [];
  let news = Promise.withResolvers<void>();
  closed.addEventListener("abort", () => news.resolve());
  socket.on("message", (message: RawData) => {
    waiting.push(bytesOf(message));
    if (waiting.length >= MAX_WAITING) socket.pause();
    news.resolve();
  });
  return {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        for (let next = waiting.shift(); next; next = waiting.shift()) yield next;
        if (closed.aborted) return;
        socket.resume();
        await news.promise;
        if (!closed.aborted) news = Promise.withResolvers<void>();
      }
    },
  };
}

function bytesOf(message: RawData): Uint8Array {
  if (Array.isArray(message)) return Buffer.concat(message);
  return message instanceof ArrayBuffer ? new Uint8Array(message) : message;
}
