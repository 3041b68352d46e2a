import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { Problem } from "../../contract/problem.ts";
import { problemBody } from "../http/problems.ts";
import type { WebSocketDoor } from "./web-sockets.ts";

/** Longer than any pause of an honest sender, shorter than a file descriptor is worth. */
const BODY_IDLE_MS = 60_000;
/** It runs from when a connection is accepted, also while thousands are served that came before it. */
const HEADERS_MS = 60_000;
/** Who has connected and waits for its turn: thousands of agents come at once when the api is back. */
const BACKLOG = 4_096;

export type Listening = {
  readonly port: number;
  /** Takes no new requests, and resolves when the last one has been answered, or after `graceMs`. */
  close(graceMs: number): Promise<void>;
};

type Fetch = Parameters<typeof getRequestListener>[0];

/** Node.js's HTTP in front of the app: what has to be decided on the raw request is decided here. */
export async function listen(
  fetch: Fetch,
  address: {
    readonly host: string;
    readonly port: number;
    readonly bodyIdleMs?: number;
    readonly webSockets?: WebSocketDoor;
  },
): Promise<Listening> {
  const listener = getRequestListener(fetch, { overrideGlobalObjects: false });
  const server = createServer({
    // A large upload takes as long as it takes, and so does a wait; see cutIdleBody.
    requestTimeout: 0,
    headersTimeout: HEADERS_MS,
    keepAliveTimeout: 65_000,
    connectionsCheckingInterval: 2_000,
    maxHeaderSize: 16_384,
    // Who holds a stream open and is gone without a word is noticed by the network.
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    // Any other protocol is not spoken here, and its request is answered as it stands.
    shouldUpgradeCallback: (request) => address.webSockets?.isFor(request) === true,
  });
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    cutIdleBody(request, address.bodyIdleMs ?? BODY_IDLE_MS);
    if (hostIsFine(request)) return void listener(request, response);
    refuse(response, "The request needs exactly one Host header that names a host.");
  };
  server.on("request", serve);
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    continueWhenRead(request, response);
    serve(request, response);
  });
  server.on("upgrade", (request, socket, head) => {
    if (!hostIsFine(request)) return void socket.destroy();
    const app = fetch as (request: Request, bindings: unknown) => Promise<Response>;
    address.webSockets?.enter(app, request, socket, head).catch(() => socket.destroy());
  });
  server.listen({ port: address.port, host: address.host, backlog: BACKLOG });
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: (graceMs) => close(server, graceMs, () => address.webSockets?.terminate()),
  };
}

/** While a body comes, its sender may not pause for long; the wait for the answer after it is ours. */
function cutIdleBody(request: IncomingMessage, idleMs: number): void {
  const { "content-length": length = "0", "transfer-encoding": coding } = request.headers;
  if (length === "0" && coding === undefined) return;
  const { socket } = request;
  socket.setTimeout(idleMs);
  request.once("end", () => socket.setTimeout(0));
}

/** "100 Continue" goes out when somebody wants the body, so that a refused upload is not even sent. */
function continueWhenRead(request: IncomingMessage, response: ServerResponse): void {
  request.once("resume", () => {
    if (!response.headersSent) response.writeContinue();
  });
}

/** Node.js takes the first of two Host headers; another hop may take the second. */
function hostIsFine(request: IncomingMessage): boolean {
  const hosts = request.rawHeaders.filter(
    (name, at) => at % 2 === 0 && name.toLowerCase() === "host",
  );
  const [, , port] = /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/.exec(
    request.headers.host ?? "",
  ) ?? [undefined, undefined, "70000"];
  return hosts.length === 1 && Number(port ?? 80) <= 65_535;
}

function refuse(response: ServerResponse, detail: string): void {
  const problem = new Problem("body-invalid", detail);
  response.writeHead(problem.status, {
    "content-type": "application/problem+json",
    connection: "close",
  });
  response.end(JSON.stringify(problemBody(problem)));
}

async function close(server: Server, graceMs: number, terminate: () => void): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  const late = setTimeout(() => {
    terminate();
    server.closeAllConnections();
  }, graceMs);
  await closed;
  clearInterval(idle);
  clearTimeout(late);
}
