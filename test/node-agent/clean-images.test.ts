import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DesiredState } from "../../contract/node/protocol.ts";
import { exec } from "../../kit/exec.ts";
import { openLog } from "../../kit/log.ts";
import { openImageStore } from "../../node-agent/act/images.ts";
import { openImageCollector } from "../../node-agent/clean/clean-images.ts";
import { RuntimeError } from "../../node-agent/runtime/runtime.ts";
import { openMemoryRuntime } from "../support/memory-runtime.ts";
import { aPod } from "../support/pods.ts";

/* A small disk of its own, on which every image that was pulled takes a share of ten percent. */

const MIB = 1024 ** 2;
const names = Array.from(
  { length: 9 },
  (_, at) => `waybill.internal/image-${at}@sha256:${"a".repeat(64)}`,
);
const login = { username: "node", password: "secret" };
const silent = openLog("test", () => undefined);
let disk = "";

beforeEach(async () => {
  disk = await mkdtemp(join(tmpdir(), "waybill-test-disk-"));
  await exec("/usr/bin/mount", ["-t", "tmpfs", "-o", "size=10m", "none", disk], {
    timeoutMs: 5_000,
  });
});
afterEach(async () => {
  await exec("/usr/bin/umount", [disk], { timeoutMs: 5_000 });
  await rm(disk, { recursive: true, force: true });
});

const fileOf = (reference: string) =>
  join(disk, Buffer.from(reference).toString("hex").slice(0, 60));

function onDisk() {
  const memory = openMemoryRuntime(names);
  return {
    ...memory,
    imageFilesystem: async () => ({ mountpoint: disk }),
    async pullImage(...call: Parameters<typeof memory.pullImage>) {
      await writeFile(fileOf(call[0]), Buffer.alloc(MIB)).catch((error: unknown) => {
        throw new RuntimeError(
          "PullImage",
          "UNKNOWN",
          new Error("no space left on device", { cause: error }),
        );
      });
      await memory.pullImage(...call);
    },
    async removeImage(id: string) {
      await rm(fileOf(id));
      await memory.removeImage(id);
    },
  };
}

const wish = (wanted: readonly string[], keepImages: readonly string[] = []) =>
  DesiredState.parse({
    node: randomUUID(),
    generation: 1,
    pods: wanted.map((image) => aPod({ image })),
    routes: [],
    keepImages,
  });

function viewOf(desired: DesiredState) {
  return { desired, seen: [], busy: new Set<never>() };
}

async function left(runtime: ReturnType<typeof onDisk>): Promise<readonly string[]> {
  return (await runtime.images()).map((it) => it.id);
}

test("images go only where the disk is nearly full, the longest unwanted first, until there is room", async () => {
  const runtime = onDisk();
  let desired = wish(names.slice(0, 8));
  const collector = openImageCollector({ runtime, view: () => viewOf(desired), log: silent });
  for (const name of names.slice(0, 8)) await runtime.pullImage(name, login);
  await collector.relieve();
  desired = wish(names.slice(0, 2), names.slice(2, 3));
  await collector.relieve();
  expect(await left(runtime)).toHaveLength(8);

  await runtime.pullImage(names[8] ?? "", login);
  await collector.relieve();

  const after = await left(runtime);
  expect(after).toHaveLength(8);
  expect(after).toEqual(expect.arrayContaining(names.slice(0, 3)));
});

test("an image that cannot be removed keeps no other here", async () => {
  const memory = onDisk();
  const [stuck = "", ...others] = names;
  const runtime = {
    ...memory,
    removeImage: async (id: string) => {
      if (id === stuck) throw new RuntimeError("RemoveImage", "UNKNOWN", new Error("in use"));
      await memory.removeImage(id);
    },
  };
  for (const name of names) await runtime.pullImage(name, login);
  const collector = openImageCollector({ runtime, view: () => viewOf(wish([])), log: silent });

  await expect(collector.relieve()).rejects.toThrow("1 of 9 failed");
  expect(await left(memory)).toHaveLength(8);
  expect(await collector.collectAll()).toBe(others.length - 1);

  expect(await left(memory)).toEqual([stuck]);
});

test("what is kept stays on the fullest disk, and all of it while nobody has decided anything", async () => {
  const runtime = onDisk();
  for (const name of names) await runtime.pullImage(name, login);
  const undecided = openImageCollector({ runtime, view: () => undefined, log: silent });
  await undecided.relieve();
  expect(await undecided.collectAll()).toBe(0);

  const view = () => viewOf(wish(names.slice(0, 4), names.slice(4)));
  await openImageCollector({ runtime, view, log: silent }).relieve();

  expect(await left(runtime)).toHaveLength(9);
});

test("a pull that finds no room takes that of what nobody keeps, and is tried once more", async () => {
  const runtime = onDisk();
  for (const name of names.slice(0, 8)) await runtime.pullImage(name, login);
  await writeFile(join(disk, "app's own"), Buffer.alloc(2 * MIB));
  const view = () => viewOf(wish([names[0] ?? "", names[8] ?? ""]));
  const collector = openImageCollector({ runtime, view, log: silent });
  const store = openImageStore(runtime, () => "secret", collector.collectAll);

  await store.ensure(names[8] ?? "");

  expect((await left(runtime)).toSorted()).toEqual([names[0], names[8]].toSorted());
});

test("a pull that finds no room where none can be made says what went wrong", async () => {
  const runtime = onDisk();
  await writeFile(join(disk, "app's own"), Buffer.alloc(10 * MIB)).catch(() => undefined);
  const store = openImageStore(
    runtime,
    () => "secret",
    async () => 0,
  );

  await expect(store.ensure(names[0] ?? "")).rejects.toThrow("PullImage");
});
