import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { Problem } from "../../contract/problem.ts";
import { problemBody } from "../problems.ts";

/** Longer than any pause of an honest client, shorter than a file descriptor is worth. */
const IDLE_MS = 60_000;
const HEADERS_MS = 10_000;

export type Listening = {
  readonly port: number;
  /** Takes no new requests, and resolves when the last one has been answered, or after `graceMs`. */
  close(graceMs: number): Promise<void>;
};

type Fetch = Parameters<typeof getRequestListener>[0];

/** Node.js's HTTP in front of the app: what has to be decided on the raw request is decided here. */
export async function listen(
  fetch: Fetch,
  address: { readonly host: string; readonly port: number },
): Promise<Listening> {
  const listener = getRequestListener(fetch, { overrideGlobalObjects: false });
  const server = createServer({
    // A large upload takes as long as it takes; a sender that pauses does not.
    requestTimeout: 0,
    headersTimeout: HEADERS_MS,
    keepAliveTimeout: 65_000,
    connectionsCheckingInterval: 2_000,
    maxHeaderSize: 16_384,
  });
  server.timeout = IDLE_MS;
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    if (hostIsFine(request)) return void listener(request, response);
    refuse(response, "The request needs exactly one Host header that names a host.");
  };
  server.on("request", serve);
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    continueWhenRead(request, response);
    serve(request, response);
  });
  server.listen(address.port, address.host);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: (graceMs) => close(server, graceMs),
  };
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

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  const late = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearInterval(idle);
  clearTimeout(late);
}
