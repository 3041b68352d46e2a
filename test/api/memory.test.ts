import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { ensureProject } from "../../db/access/projects.ts";
import { API_FLAGS } from "../../standalone/parts/programs.ts";
import { aToken } from "../support/api.ts";
import { eventually } from "../support/eventually.ts";
import { freshDb } from "../support/postgres.ts";
import { startRegistry } from "../support/registry.ts";

const MiB = 1024 * 1024;

/** A field of /proc/<pid>/status, in MiB. */
async function memory(pid: number, field: "VmRSS" | "VmHWM"): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) / 1024;
}

/** `count` MiB that no two calls repeat, without holding them. */
function noise(count: number): ReadableStream<Uint8Array> {
  const block = randomBytes(MiB);
  let left = count;
  return new ReadableStream(
    {
      pull: (controller) => {
        if (left-- === 0) return controller.close();
        block.writeUInt32BE(left, 0);
        controller.enqueue(new Uint8Array(block));
      },
    },
    { highWaterMark: 0 },
  );
}

async function startProcess(databaseUrl: string, registryUrl: string) {
  const main = new URL("../../api/main.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [...API_FLAGS, main], {
    env: { DATABASE_URL: databaseUrl, REGISTRY_URL: registryUrl, WAYBILL_API_PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  const port = await eventually(() => {
    const [, found] = /"api ready".*"port":(\d+)/.exec(text) ?? [];
    if (found === undefined) throw new Error(`not ready: ${text}`);
    return found;
  });
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

test("300 MB of a WAR go up through the api in less than 64 MiB of memory", async () => {
  await using pg = await freshDb();
  await using registry = await startRegistry();
  const token = await aToken(pg.db, {
    kind: "personal",
    project: await ensureProject(pg.db, "default"),
  });
  await using api = await startProcess(pg.url, registry.url);
  const upload = async (count: number) => {
    const answer = await fetch(`${api.url}/v1/apps/shop/war`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}` },
      body: noise(count),
      duplex: "half",
    });
    return answer.status;
  };
  await upload(1);
  const before = await memory(api.pid, "VmRSS");

  const status = await upload(300);

  expect(status).toBe(200);
  expect((await memory(api.pid, "VmHWM")) - before).toBeLessThan(64);
}, 60_000);

test("300 MB of an image come down through the api in less than 64 MiB of memory", async () => {
  await using pg = await freshDb();
  await using registry = await startRegistry();
  const token = await aToken(pg.db, {
    kind: "node",
    project: await ensureProject(pg.db, "default"),
    node: "local",
  });
  const big = await pushBlob(registry.url, 300);
  const small = await pushBlob(registry.url, 1);
  await using api = await startProcess(pg.url, registry.url);
  const download = async (digest: string) => {
    const answer = await fetch(`${api.url}/v2/base/big/blobs/${digest}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    let size = 0;
    for await (const chunk of answer.body ?? []) size += chunk.byteLength;
    return size;
  };
  await download(small);
  const before = await memory(api.pid, "VmRSS");

  const size = await download(big);

  expect(size).toBe(300 * MiB);
  expect((await memory(api.pid, "VmHWM")) - before).toBeLessThan(64);
}, 60_000);

async function pushBlob(registry: string, count: number): Promise<string> {
  const begun = await fetch(`${registry}/v2/base/big/blobs/uploads/`, { method: "POST" });
  const hash = createHash("sha256");
  const [bytes, hashed] = noise(count).tee();
  const hashing = (async () => {
    for await (const chunk of hashed) hash.update(chunk);
  })();
  const sent = await fetch(begun.headers.get("location") ?? "", {
    method: "PATCH",
    body: bytes,
    duplex: "half",
    headers: { "content-type": "application/octet-stream" },
  });
  await hashing;
  const digest = `sha256:${hash.digest("hex")}`;
  await fetch(`${sent.headers.get("location")}&digest=${digest}`, { method: "PUT" });
  return digest;
}
