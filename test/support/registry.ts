import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRegistry, type Registry } from "../../worker/build/registry.ts";

export type TestRegistry = AsyncDisposable & {
  /** http://127.0.0.1:<port> */
  readonly url: string;
  readonly client: Registry;
  /** Where its blobs lie. */
  readonly storage: string;
};

/**
 * Debian's docker-registry on a free port of loopback, with storage of its own: empty, or a copy of
 * `from`, the storage of another one.
 */
export async function startRegistry(options: { from?: string } = {}): Promise<TestRegistry> {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-registry-"));
  const storage = join(folder, "storage");
  // Hard links would be enough for blobs, and are not for the links to them, which are rewritten in place.
  if (options.from !== undefined) await cp(options.from, storage, { recursive: true });
  const config = join(folder, "config.yml");
  await writeFile(config, configText(storage));
  const child = spawn("/usr/bin/docker-registry", ["serve", config], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { OTEL_TRACES_EXPORTER: "none" },
  });
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const url = `http://127.0.0.1:${await listeningPort(child.stderr, exited)}`;
    return { url, client: openRegistry(url), storage, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function configText(storage: string): string {
  return JSON.stringify({
    version: "0.1",
    log: { level: "info", formatter: "json" },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: { addr: "127.0.0.1:0" },
  });
}

/** It binds port 0 by itself and logs the port it got. */
function listeningPort(stderr: NodeJS.ReadableStream, exited: Promise<unknown>): Promise<string> {
  const found = Promise.withResolvers<string>();
  let text = "";
  stderr.setEncoding("utf8");
  stderr.on("data", (chunk: string) => {
    text = (text + chunk).slice(-10_000);
    const port = /listening on (?:127\.0\.0\.1|\[::\]|[^"\s]*):(\d+)/.exec(text)?.[1];
    if (port !== undefined) found.resolve(port);
  });
  exited.then(() => found.reject(new Error(`docker-registry ended: ${text}`)));
  return found.promise;
}
