import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { PAUSE_IMAGE, REGISTRY_NAME } from "../../contract/node/protocol.ts";
import { causeChain } from "../../kit/log.ts";
import { readIfThere, writeDurably } from "../disk/durable-file.ts";
import type { Image, RegistryLogin, Runtime } from "../runtime/runtime.ts";

export type ImageStore = {
  /** The image that holds a sandbox's namespaces; asked for once. */
  ensurePause(): Promise<void>;
  /** There, or pulled. Two callers share one pull. */
  ensure(reference: string): Promise<Image>;
};

/**
 * Pulls with the node's token, which the registry behind the api takes as a password. A pull that
 * finds the disk full is tried once more when `makeRoom`, which answers how much went, found any.
 */
export function openImageStore(
  runtime: Pick<Runtime, "image" | "pullImage">,
  token: () => string | undefined,
  makeRoom: () => Promise<number>,
): ImageStore {
  const pulls = new Map<string, Promise<Image>>();
  let pauseIsThere = false;

  async function fetchImage(reference: string): Promise<Image> {
    const there = await runtime.image(reference);
    if (there) return there;
    const password = token();
    if (password === undefined) throw new Error("this node has not joined yet, so it cannot pull");
    await pull(reference, { username: "node", password });
    const pulled = await runtime.image(reference);
    if (!pulled) throw new Error(`the runtime pulled ${reference} and does not know it`);
    return pulled;
  }

  async function pull(reference: string, login: RegistryLogin): Promise<void> {
    try {
      await runtime.pullImage(reference, login);
    } catch (error) {
      if (!isFullDisk(error) || (await makeRoom()) === 0) throw error;
      await runtime.pullImage(reference, login);
    }
  }

  function ensure(reference: string): Promise<Image> {
    const running = pulls.get(reference);
    if (running) return running;
    const begun = fetchImage(reference).finally(() => pulls.delete(reference));
    pulls.set(reference, begun);
    return begun;
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

/** Runtimes have no code for it: the words of the host's own error are all that comes through. */
function isFullDisk(error: unknown): boolean {
  return causeChain(error).some((it) => /no space left on device|disk quota exceeded/i.test(it));
}

/** Tells the runtime that the registry of every image reference is this node's api. */
export async function writeRegistryHosts(hostsDir: string, apiUrl: string): Promise<void> {
  const folder = join(hostsDir, REGISTRY_NAME);
  const server = JSON.stringify(apiUrl);
  const text = `server = ${server}\n\n[host.${server}]\n  capabilities = ["pull", "resolve"]\n`;
  const file = join(folder, "hosts.toml");
  if ((await readIfThere(file)) === text) return;
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await writeDurably(file, text);
}
