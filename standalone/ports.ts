import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import type { PortFact } from "./preflight.ts";

/**
 * Where nodes take requests from one another, as contract/node/node-ports.ts says: each pod has such a
 * port of its node, so that nothing else may.
 */
export const NODE_PORTS = { first: 31_000, last: 32_767 };

export function holdsNodePorts(from: number, to = from): boolean {
  return from <= NODE_PORTS.last && to >= NODE_PORTS.first;
}

/** Whether a program could listen there now, found out by listening for a moment. */
export function listenState(
  port: number,
  host: string,
): Promise<Exclude<PortFact["state"], "ours">> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve("busy");
      else if (error.code === "EACCES") resolve("not-allowed");
      else if (error.code === "EADDRNOTAVAIL" || error.code === "ENOTFOUND") {
        resolve("no-such-address");
      } else reject(new Error(`looking at port ${port}`, { cause: error }));
    });
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve("free")));
  });
}

/**
 * A loopback port to keep for good. Below the range from which the kernel takes the ports of
 * outgoing connections, so that none of those sits on it at the next start, and below those of nodes.
 */
export async function chooseLoopbackPort(not: ReadonlySet<number>): Promise<number> {
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const port = randomInt(20_000, NODE_PORTS.first);
    if (!not.has(port) && (await listenState(port, "127.0.0.1")) === "free") return port;
  }
  throw new Error("no free loopback port was found below those of nodes");
}
