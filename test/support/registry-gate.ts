import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Gate = AsyncDisposable & {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  /** "GET /v2/…" of everything that was asked, in order. */
  readonly asked: string[];
};

/** What a gate does otherwise: answers by itself (true), or lets the request through. */
export type Turn = (request: IncomingMessage, answer: ServerResponse) => boolean;

/** A door in front of a real registry, that sees who comes, and can stand in the way. */
export async function startGate(registryUrl: string, turn: Turn = () => false): Promise<Gate> {
  const asked: string[] = [];
  const server = createServer((request, answer) => {
    asked.push(`${request.method} ${request.url}`);
    if (turn(request, answer)) return;
    // Whoever asked may have lost interest, and the test ended its registry.
    letThrough(registryUrl, request, answer).catch(() => answer.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function letThrough(
  registryUrl: string,
  request: IncomingMessage,
  answer: ServerResponse,
): Promise<void> {
  const behind = await fetch(registryUrl + request.url, {
    method: request.method ?? "GET",
    headers: { accept: request.headers.accept ?? "*/*" },
  });
  const bytes = Buffer.from(await behind.arrayBuffer());
  answer.writeHead(behind.status, Object.fromEntries(behind.headers)).end(bytes);
}

/** Lets in whoever fetched a token for the anonymous, as registries on the Internet do. */
export function withTokens(hostOf: () => string, realmOf = () => `http://${hostOf()}/token`): Turn {
  return (request, answer) => {
    const url = new URL(request.url ?? "/", "http://gate");
    if (url.pathname === "/token") {
      const scope = url.searchParams.get("scope") ?? "";
      answer.end(JSON.stringify({ token: `good-for-${scope.replaceAll(/[^a-z0-9]/g, "-")}` }));
      return true;
    }
    const repository = /^\/v2\/(.*)\/(manifests|blobs)\//.exec(url.pathname)?.[1] ?? "";
    const wanted = `Bearer good-for-repository-${repository.replaceAll("/", "-")}-pull`;
    if (request.headers.authorization === wanted) return false;
    answer.writeHead(401, {
      "www-authenticate": `Bearer realm="${realmOf()}",service="gate",scope="repository:*:*"`,
    });
    answer.end();
    return true;
  };
}
