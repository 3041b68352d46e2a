import { once } from "node:events";
import { chmod, mkdir, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { dirname } from "node:path";
import { http } from "./api/http-call.ts";
import type { Silence } from "./api/silence.ts";

/** What the agent says of itself. Only `healthy` decides about the status: the rest it lives with. */
export type Health = {
  /** Whether a pass has ended well within the last three periods. */
  readonly healthy: boolean;
  readonly lastGoodPassAt: string | null;
  /** What keeps the wish from being read or kept on disk. */
  readonly ledger: string | null;
  readonly api: ReturnType<Silence["told"]> | null;
  /** That the api and the agent speak different protocols, and what to do. */
  readonly skew: string | null;
  /** Whether the api has said that what this node has in hand stands. */
  readonly confirmed: boolean;
  readonly runtime: ReturnType<Silence["told"]> | null;
};

/** Serves GET /healthz on a unix socket that root alone may use: 200 while healthy, else 503, with why. */
export async function serveHealth(socket: string, look: () => Health): Promise<Server> {
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  await rm(socket, { force: true });
  const server = http.createServer((request, answer) => {
    const health = request.url === "/healthz" ? look() : undefined;
    const status = !health ? 404 : health.healthy ? 200 : 503;
    answer.writeHead(status, { "content-type": "application/json", connection: "close" });
    answer.end(`${JSON.stringify(health ?? { error: "not found" })}\n`);
  });
  server.listen(socket);
  await once(server, "listening");
  await chmod(socket, 0o600);
  return server;
}
