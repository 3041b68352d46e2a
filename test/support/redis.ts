import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";

export type TestRedis = AsyncDisposable & { readonly url: string };

/** A Redis of this test's own, empty, gone with its folder at the end of the block. */
export async function startRedis(): Promise<TestRedis> {
  const dir = await mkdtemp(join(tmpdir(), "waybill-redis-"));
  const port = await freePort();
  const argv = [
    "--port",
    String(port),
    "--bind",
    "127.0.0.1",
    "--dir",
    dir,
    "--save",
    "",
    "--maxmemory-policy",
    "noeviction",
  ];
  const server = spawn("/usr/bin/redis-server", argv, { stdio: "ignore" });
  const ended = once(server, "exit");
  const url = `redis://127.0.0.1:${port}`;
  await eventually(async () => {
    const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
    client.on("error", () => undefined);
    await client.connect();
    client.disconnect();
  });
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      server.kill("SIGKILL");
      await ended;
      await rm(dir, { recursive: true });
    },
  };
}
