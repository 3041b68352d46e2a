import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { PAUSE_IMAGE, REGISTRY_NAME } from "../contract/node-protocol.ts";
import { writeDurably } from "./durable-file.ts";
import type { Image, Runtime } from "./runtime/runtime.ts";

export type ImageStore = {
  /** The image that holds a sandbox's namespaces; asked for once. */
  ensurePause(): Promise<void>;
  /** There, or pulled. Two callers share one pull. */
  ensure(reference: string): Promise<Image>;
};

/** Pulls with the node's token, which the registry behind the api takes as a password. */
export function openImageStore(runtime: Runtime, token: () => string | undefined): ImageStore {
  const pulls = new Map<string, Promise<Image>>();
  let pauseIsThere = false;

  async function fetchImage(reference: string): Promise<Image> {
    const there = await runtime.image(reference);
    if (there) return there;
    const password = token();
    if (password === undefined) throw new Error("this node has not joined yet, so it cannot pull");
    await runtime.pullImage(reference, { username: "node", password });
    const pulled = await runtime.image(reference);
    if (!pulled) throw new Error(`the runtime pulled ${reference} and does not know it`);
    return pulled;
  }

  function ensure(reference: string): Promise<Image> {
    const running = pulls.get(reference);
    if (running) return running;
    const pull = fetchImage(reference).finally(() => pulls.delete(reference));
    pulls.set(reference, pull);
    return pull;
  }

  return {
    ensure,
    async ensurePause() {
      if (pauseIsThere) return;
      await ensure(PAUSE_IMAGE);
      pauseIsThere = true;
    },
  };
}

/** Tells the runtime that the registry of every image reference is this node's api. */
export async function writeRegistryHosts(hostsDir: string, apiUrl: string): Promise<void> {
  const folder = join(hostsDir, REGISTRY_NAME);
  const server = JSON.stringify(apiUrl);
  const text = `server = ${server}\n\n[host.${server}]\n  capabilities = ["pull", "resolve"]\n`;
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await writeDurably(join(folder, "hosts.toml"), text);
}
