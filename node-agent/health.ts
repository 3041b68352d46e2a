import { once } from "node:events";
import { chmod, mkdir, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { dirname } from "node:path";
import { http } from "./http-call.ts";

/** Serves GET /healthz on a unix socket that root alone may use: 200 while `healthy()`, else 503. */
export async function serveHealth(socket: string, healthy: () => boolean): Promise<Server> {
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  await rm(socket, { force: true });
  const server = http.createServer((request, answer) => {
    const known = request.url === "/healthz";
    const status = !known ? 404 : healthy() ? 200 : 503;
    answer.writeHead(status, { "content-type": "text/plain", connection: "close" });
    answer.end(status === 200 ? "ok\n" : known ? "no pass has ended well lately\n" : "not found\n");
  });
  server.listen(socket);
  await once(server, "listening");
  await chmod(socket, 0o600);
  return server;
}
