import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import { MAX_EXEC_FRAME_BYTES } from "../../contract/node/exec.ts";
import { ROUTES } from "../census.ts";
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
  /** Whether the request may become a WebSocket; any other is answered as it stands. */
  isFor(request: IncomingMessage): boolean;
  /** Takes a request to become a WebSocket; what the app refuses is answered as any request is. */
  enter(fetch: Fetch, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  /** Ends what is still open, at once. */
  terminate(): void;
};

/** The paths of the routes that say they may answer 101. */
const PATHS = ROUTES.filter(({ answers }) => 101 in answers).map(
  ({ path }) => new RegExp(`^${path.replaceAll(/:\w+/g, "[^/?]+")}(\\?|$)`),
);

/** WebSockets beside Node.js's HTTP. `onError` hears what `serve` throws. */
export function openWebSocketDoor(
  onError: (error: unknown) => void,
  pingEveryMs = PING_EVERY_MS,
): WebSocketDoor {
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
    isFor: ({ method, url = "", headers }) =>
      method === "GET" &&
      headers.upgrade?.toLowerCase() === "websocket" &&
      PATHS.some((it) => it.test(url)),
    upgrade: (c, protocols, serve) => {
      accepted.set(c.req.raw, { protocols, serve });
      return new Response(null, { status: 204 });
    },
    enter: async (fetch, incoming, socket, head) => {
      socket.on("error", () => socket.destroy());
      const gone = new AbortController();
      socket.once("close", () => gone.abort());
      const request = requestOf(incoming, gone.signal);
      const answer = await fetch(request, { incoming });
      const door = accepted.get(request);
      if (!door || !answer.ok) return await refuse(socket, answer);
      chosen.set(incoming, door);
      server.handleUpgrade(incoming, socket, head, (opened) => {
        const wire = wireOf(opened, pingEveryMs);
        door
          .serve(wire)
          .catch(onError)
          .finally(() => wire.close(1000, ""));
      });
    },
    terminate: () => {
      for (const client of server.clients) client.terminate();
    },
  };
}

function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request {
  const headers = new Headers();
  for (const [name, values] of Object.entries(incoming.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  const url = new URL(incoming.url ?? "/", `http://${incoming.headers.host}`);
  return new Request(url, { method: incoming.method ?? "GET", headers, signal });
}

async function refuse(socket: Duplex, answer: Response): Promise<void> {
  const body = Buffer.from(await answer.arrayBuffer());
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const length = `content-length: ${body.length}\r\nconnection: close\r\n`;
  socket.write(`HTTP/1.1 ${answer.status} ${answer.statusText}\r\n${headers}${length}\r\n`);
  socket.end(body);
}

function wireOf(socket: WebSocket, pingEveryMs: number): Wire {
  const closed = new AbortController();
  keepAlive(socket, pingEveryMs, closed.signal);
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
    // One that is not read would not say that it has closed as well.
    close: (code, reason) => {
      socket.close(code, reason);
      socket.resume();
    },
  };
}

/** Every message is a sign of life, and while the other side is not read none is missed; see queueOf. */
function keepAlive(socket: WebSocket, pingEveryMs: number, closed: AbortSignal): void {
  let alive = true;
  const live = () => {
    alive = true;
  };
  socket.on("pong", live).on("message", live);
  const timer = setInterval(() => {
    if (!alive) return socket.terminate();
    alive = socket.isPaused;
    socket.ping();
  }, pingEveryMs);
  closed.addEventListener("abort", () => clearInterval(timer));
}

/** Messages from the moment the socket is open; while too many wait, the other side is not read. */
function queueOf(socket: WebSocket, closed: AbortSignal): AsyncIterable<Uint8Array> {
  const waiting: Uint8Array[] = [];
  let news = Promise.withResolvers<void>();
  closed.addEventListener("abort", () => news.resolve());
  socket.on("message", (message: RawData) => {
    if (socket.readyState !== socket.OPEN) return;
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
