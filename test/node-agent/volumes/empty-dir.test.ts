import { type FileHandle, mkdir, open, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { mounts, mountTmpfs, unmount } from "../../../node-agent/host/mounts.ts";
import { aHost, type Host, mode, podWith } from "./a-host.ts";

const MIB = 1024 * 1024;

describe("an emptyDir", () => {
  test("is a folder that every user of the pod may write to, and is found again with what is in it", async () => {
    await using host = await aHost();
    const pod = podWith([{ name: "data", emptyDir: {} }]);

    const path = (await host.ready(pod)).get("data")?.path ?? "";
    await writeFile(join(path, "kept"), "words");
    const again = (await host.ready(pod)).get("data")?.path ?? "";

    expect(await mode(path)).toBe("777");
    expect(await readFile(join(again, "kept"), "utf8")).toBe("words");
  });

  test.each([
    ["in memory", { medium: "Memory", sizeLimit: "1Mi" }],
    ["on disk", { sizeLimit: "8Mi" }],
  ])("with a limit, %s, is full when it is full", async (_where, emptyDir) => {
    await using host = await aHost();
    const pod = podWith([{ name: "data", emptyDir }]);
    const limit = Number.parseInt(emptyDir.sizeLimit, 10) * MIB;

    const path = (await host.ready(pod)).get("data")?.path ?? "";
    await host.ready(pod);

    await writeFile(join(path, "fits"), Buffer.alloc(limit * 0.95));
    expect(await mode(path)).toBe("777");
    expect(await readdir(path)).toEqual(["fits"]);
    await expect(writeFile(join(path, "too-much"), Buffer.alloc(limit * 0.3))).rejects.toThrow(
      "ENOSPC",
    );
    expect((await mounts()).filter((it) => it.path === path)).toHaveLength(1);
  });

  test.each([
    ["without a limit", {}],
    ["with a larger one", { sizeLimit: "1Ti" }],
  ])("in memory %s takes no more than the pod's containers may", async (_limit, beside) => {
    await using host = await aHost();
    const pod = podWith([{ name: "data", emptyDir: { medium: "Memory", ...beside } }]);

    const path = (await host.ready(pod)).get("data")?.path ?? "";

    await expect(writeFile(join(path, "file"), Buffer.alloc(65 * MIB))).rejects.toThrow("ENOSPC");
  });

  test("on disk with a limit comes back after a reboot with what was in it", async () => {
    await using host = await aHost();
    const pod = podWith([{ name: "data", emptyDir: { sizeLimit: "8Mi" } }]);
    const path = (await host.ready(pod)).get("data")?.path ?? "";
    await writeFile(join(path, "kept"), "words");
    await unmount(path);

    await host.ready(pod);

    expect(await readFile(join(path, "kept"), "utf8")).toBe("words");
  });

  /** An emptyDir with a limit, as a reboot leaves it: with a word in it, damaged by `harm`, not mounted. */
  async function damaged(host: Host, harm: (disk: FileHandle, bytes: number) => Promise<unknown>) {
    const pod = podWith([{ name: "data", emptyDir: { sizeLimit: "16Mi" } }]);
    const path = (await host.ready(pod)).get("data")?.path ?? "";
    await writeFile(join(path, "kept"), "words");
    await unmount(path);
    const file = join(host.places.podDir(pod.metadata.uid), "disks/data");
    await using disk = await open(file, "r+");
    await harm(disk, (await disk.stat()).size);
    return { pod, path, file };
  }

  test("on disk with a limit is mended after a crash, also where that is not without risk", async () => {
    await using host = await aHost();
    const { pod, path } = await damaged(host, (disk) =>
      disk.write(Buffer.alloc(1_024), 0, 1_024, 1_024),
    );

    await host.ready(pod);

    expect(await readFile(join(path, "kept"), "utf8")).toBe("words");
  });

  test("on disk with a limit that is damaged for good is left as it is, and says so", async () => {
    await using host = await aHost();
    const { pod, file } = await damaged(host, (disk, bytes) =>
      disk.write(Buffer.alloc(bytes, "x")),
    );
    const left = await readFile(file);

    const ready = host.ready(pod);

    await expect(ready).rejects.toMatchObject({ reason: "FailedMount" });
    await expect(ready).rejects.toThrow('the emptyDir "data" is damaged');
    expect(left.equals(await readFile(file))).toBe(true);
  });

  test("on disk with a limit that an agent left half-done is made anew", async () => {
    await using host = await aHost();
    const pod = podWith([{ name: "data", emptyDir: { sizeLimit: "2Mi" } }]);
    const path = join(host.places.volumesDir(pod.metadata.uid), "data");
    const disks = join(host.places.podDir(pod.metadata.uid), "disks");
    await mkdir(path, { recursive: true });
    await mkdir(disks);
    await writeFile(join(disks, "data.new"), "half");
    await mountTmpfs(path, MIB, []);

    await host.ready(pod);

    expect([await mode(path), await readdir(path)]).toEqual(["777", []]);
    expect((await mounts()).filter((it) => it.path === path)).toHaveLength(1);
  });

  test("belongs to the pod's fsGroup, and so does what is made in it", async () => {
    await using host = await aHost();
    const volumes = [
      { name: "disk", emptyDir: {} },
      { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      { name: "named", persistentVolumeClaim: { claimName: "data" } },
    ];
    const ready = await host.ready(podWith(volumes, [], { securityContext: { fsGroup: 4_711 } }));

    for (const { path } of ready.values()) {
      await mkdir(join(path, "made"));
      expect((await stat(join(path, "made"))).gid).toBe(4_711);
      expect(await mode(path)).toBe("2777");
    }
    expect(ready.size).toBe(3);
  });
});
