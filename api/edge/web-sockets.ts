import type { Upgrade, Wire } from "../http/wire.ts";

/* WebSockets on an edge runtime: the platform makes a pair, hands one end out and we keep the other. */

type EdgeSocket = EventTarget & {
  accept(): void;
  send(message: Uint8Array): void;
  close(code?: number, reason?: string): void;
};
declare const WebSocketPair: new () => { readonly 0: EdgeSocket; readonly 1: EdgeSocket };

/** `session` hears of what goes on after the answer, so that the platform waits for it. */
export function edgeUpgrade(session: (work: Promise<void>) => void): Upgrade {
  return (c, protocols, serve) => {
    const offered = (c.req.header("sec-websocket-protocol") ?? "").split(/ *, */);
    const protocol = protocols.find((it) => offered.includes(it));
    const pair = new WebSocketPair();
    const own = pair[1];
    own.accept();
    const wire = wireOf(own);
    session(serve(wire).finally(() => wire.close(1000, "")));
    const init = {
      status: 101,
      webSocket: pair[0],
      headers: protocol === undefined ? {} : { "sec-websocket-protocol": protocol },
    };
    return new Response(null, init);
  };
}

/** Nothing holds the other side back here, so one that does not wait for the command is cut off. */
const MAX_WAITING = 1_000;
const TOO_MUCH = 1009;

function wireOf(socket: EdgeSocket): Wire {
  const closed = new AbortController();
  const waiting: Uint8Array[] = [];
  let news = Promise.withResolvers<void>();
  const end = () => {
    closed.abort();
    news.resolve();
  };
  const close = (code: number, reason: string) => {
    if (!closed.signal.aborted) socket.close(code, reason);
    end();
  };
  socket.addEventListener("message", (event) => {
    const { data } = event as Event & { readonly data?: unknown };
    if (data instanceof ArrayBuffer) waiting.push(new Uint8Array(data));
    if (waiting.length > MAX_WAITING) close(TOO_MUCH, "more input than the command takes");
    news.resolve();
  });
  socket.addEventListener("close", end);
  socket.addEventListener("error", end);
  return {
    closed: closed.signal,
    close,
    // The platform holds what is on its way out, and says nothing of how much that is.
    send: async (message) => {
      if (!closed.signal.aborted) socket.send(message);
    },
    incoming: {
      async *[Symbol.asyncIterator]() {
        for (;;) {
          for (let next = waiting.shift(); next; next = waiting.shift()) yield next;
          if (closed.signal.aborted) return;
          await news.promise;
          news = Promise.withResolvers<void>();
        }
      },
    },
  };
}
