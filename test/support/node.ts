import { writeFile } from "node:fs/promises";
import { type AgentHost, startAgentHost } from "./agent-host.ts";
import { freePort } from "./free-port.ts";
import { type NodeApi, startNodeApi } from "./node-api.ts";
import { startRegistry } from "./registry.ts";
import { type PushedImage, pushBusybox, pushPause } from "./test-image.ts";

/** A whole host of its own: registry, api, containerd, Caddy and the agent as a process. */
export type TestNode = AgentHost & {
  readonly api: NodeApi;
  readonly busybox: PushedImage;
};

export async function startNode(): Promise<TestNode> {
  const stack = new AsyncDisposableStack();
  try {
    const registry = stack.use(await startRegistry());
    const [busybox] = await Promise.all([
      pushBusybox(registry.url, "apps/web"),
      pushPause(registry.url),
    ]);
    const api = stack.use(await startNodeApi(registry.url));
    const httpPort = await freePort();
    const host = stack.use(await startAgentHost({ apiUrl: api.url, httpPort }));
    await writeFile(host.env.WAYBILL_JOIN_TOKEN_FILE, `${api.joinToken}\n`);
    const owned = stack.move();
    return { ...host, api, busybox, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}
