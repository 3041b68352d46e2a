import { mkdir, readdir, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openBeneath, PathError } from "../../../node-agent/volumes/open-beneath.ts";
import { aHost, podWith } from "./a-host.ts";

/** Somebody who makes "good" and "bad" in turn what is found as "door", until it is disposed of. */
function swapper(root: string): AsyncDisposable {
  let swapping = true;
  const door = join(root, "door");
  const swapped = (async () => {
    for (let turn = 0; swapping; turn++) {
      const name = join(root, turn % 2 === 0 ? "good" : "bad");
      await rename(name, door).catch(() => undefined);
      const away = rename(door, name).catch(() => rename(door, join(root, `other-${turn}`)));
      await away.catch(() => undefined);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      swapping = false;
      await swapped;
    },
  };
}

describe("a subPath", () => {
  const pod = (subPath: string) =>
    podWith([{ name: "data", emptyDir: {} }], [{ name: "data", mountPath: "/d", subPath }]);

  test("shows one folder of the volume, made where it is missing, as the volume itself is made", async () => {
    await using host = await aHost();
    const wanted = pod("a/b");
    const ready = await host.ready(wanted);
    const root = ready.get("data")?.path ?? "";

    const shown = (await host.mounts(wanted, ready)).get("/d")?.hostPath ?? "";
    await writeFile(join(shown, "file"), "words");

    expect(await readFile(join(root, "a/b/file"), "utf8")).toBe("words");
    expect(((await stat(join(root, "a/b"))).mode & 0o777).toString(8)).toBe("777");
  });

  test("shows one file, and what stands under its name when a container starts again", async () => {
    await using host = await aHost();
    const wanted = pod("file");
    const ready = await host.ready(wanted);
    const file = join(ready.get("data")?.path ?? "", "file");
    await writeFile(file, "one");

    const first = (await host.mounts(wanted, ready)).get("/d")?.hostPath ?? "";
    expect(await readFile(first, "utf8")).toBe("one");
    await writeFile(`${file}.new`, "two");
    await rename(`${file}.new`, file);
    const second = (await host.mounts(wanted, ready)).get("/d")?.hostPath ?? "";

    expect(second).toBe(first);
    expect(await readFile(second, "utf8")).toBe("two");
  });

  test.each([
    ["link", "the whole of it"],
    ["link/etc", "a step on the way"],
    ["folder/link/x", "a step further in"],
    ["dangling", "one that leads nowhere"],
    ["inside/x", "one that stays inside"],
  ])("%j is refused where a link is %s", async (subPath) => {
    await using host = await aHost();
    const wanted = pod(subPath);
    const ready = await host.ready(wanted);
    const root = ready.get("data")?.path ?? "";
    await mkdir(join(root, "folder"));
    await mkdir(join(root, "real"));
    await symlink("/", join(root, "link"));
    await symlink("/", join(root, "folder/link"));
    await symlink("/nowhere", join(root, "dangling"));
    await symlink("real", join(root, "inside"));

    const mounting = host.mounts(wanted, ready);

    await expect(mounting).rejects.toMatchObject({ reason: "CreateContainerConfigError" });
    await expect(mounting).rejects.toThrow(/is a link, and links are not followed/);
  });

  test("never leads out of its volume, however fast somebody swaps folders for links", async () => {
    await using host = await aHost();
    const wanted = pod("door/room");
    const ready = await host.ready(wanted);
    const root = ready.get("data")?.path ?? "";
    const outside = join(host.dir, "outside");
    await mkdir(join(outside, "room"), { recursive: true });
    await mkdir(join(root, "good/room"), { recursive: true });
    await symlink(outside, join(root, "bad"));
    const { dev, ino } = await stat(join(root, "good/room"));
    await using _ = swapper(root);

    const opened: string[] = [];
    for (let turn = 0; turn < 2_000; turn++) {
      try {
        await using found = await openBeneath(root, "door/room", undefined);
        const seen = await found.stat();
        opened.push(seen.dev === dev && seen.ino === ino ? "inside" : "outside");
      } catch (error) {
        if (!(error instanceof PathError)) throw error;
      }
    }

    expect(new Set(opened)).toEqual(new Set(["inside"]));
  });

  test("makes no folder out of its volume, however fast somebody swaps folders for links", async () => {
    await using host = await aHost();
    const root = join(host.dir, "volume");
    const outside = join(host.dir, "outside");
    for (const folder of [outside, join(root, "good")]) await mkdir(folder, { recursive: true });
    await symlink(outside, join(root, "bad"));
    await using _ = swapper(root);

    let made = 0;
    for (let turn = 0; turn < 600; turn++) {
      try {
        await using _room = await openBeneath(root, `door/room-${turn}`, { mode: 0o777 });
        made += 1;
      } catch (error) {
        if (!(error instanceof PathError)) throw error;
      }
    }

    expect(await readdir(outside)).toEqual([]);
    expect(made).toBeGreaterThan(0);
  });

  test("of a volume that cannot be written to is there or is an error", async () => {
    await using host = await aHost();
    await mkdir(join(host.dir, "artifact/docs"), { recursive: true });
    const image = { reference: `waybill.internal/x@sha256:${"a".repeat(64)}` };
    const artifact = async () => join(host.dir, "artifact");
    const asking = (subPath: string) =>
      podWith([{ name: "data", image }], [{ name: "data", mountPath: "/d", subPath }]);

    const good = asking("docs");
    const seen = await host.mounts(good, await host.ready(good, { artifact }));
    const bad = asking("nope");
    const missing = host.mounts(bad, await host.ready(bad, { artifact }));

    expect(seen.get("/d")?.readOnly).toBe(true);
    await expect(missing).rejects.toThrow('there is no "nope"');
  });
});

describe("a hostPath", () => {
  const pod = (path: string, type = "") => podWith([{ name: "host", hostPath: { path, type } }]);

  test("under an allowed prefix is what the pod sees, and is made where its type says so", async () => {
    await using host = await aHost();
    const wanted = pod(join(host.dir, "data/logs"), "DirectoryOrCreate");

    const path = (await host.ready(wanted, { hostPaths: [host.dir] })).get("host")?.path ?? "";
    await writeFile(join(path, "line"), "words");

    expect(await readFile(join(host.dir, "data/logs/line"), "utf8")).toBe("words");
  });

  test("without a type is a folder where nothing is there, as with Kubernetes", async () => {
    await using host = await aHost();
    const path = join(host.dir, "new");

    await host.ready(pod(path), { hostPaths: [path] });

    expect((await stat(path)).isDirectory()).toBe(true);
  });

  test.each([
    ["not under a prefix", (dir: string) => join(dir, "other")],
    ["beside a prefix of the same beginning", (dir: string) => join(dir, "allowed-too")],
    ["above a prefix", (dir: string) => dir],
    ["a link that leads out", (dir: string) => join(dir, "allowed/out")],
    ["behind a link that leads out", (dir: string) => join(dir, "allowed/out/deeper")],
    ["to be made behind a link that leads out", (dir: string) => join(dir, "allowed/out/a/b")],
  ])("%s is refused with the rule's name", async (_what, path) => {
    await using host = await aHost();
    for (const folder of ["allowed", "allowed-too", "other/deeper"])
      await mkdir(join(host.dir, folder), { recursive: true });
    await symlink(join(host.dir, "other"), join(host.dir, "allowed/out"));

    const ready = host.ready(pod(path(host.dir)), { hostPaths: [join(host.dir, "allowed")] });

    await expect(ready).rejects.toMatchObject({ reason: "CreateContainerConfigError" });
    await expect(ready).rejects.toThrow(/^host-paths: .*allows only what lies under .*\/allowed$/);
    await expect(stat(join(host.dir, "other/a"))).rejects.toThrow("ENOENT");
  });

  test("is refused where the operator allows nothing", async () => {
    await using host = await aHost();

    await expect(host.ready(pod("/etc"))).rejects.toThrow("allows no path of this host");
  });

  test("may go through a link that stays under the prefix, and the prefix itself may be one", async () => {
    await using host = await aHost();
    await mkdir(join(host.dir, "disk/data"), { recursive: true });
    await writeFile(join(host.dir, "disk/data/file"), "words");
    await symlink(join(host.dir, "disk"), join(host.dir, "data"));
    await symlink("data", join(host.dir, "disk/current"));

    const ready = await host.ready(pod(join(host.dir, "data/current")), {
      hostPaths: [join(host.dir, "data")],
    });

    expect(await readFile(join(ready.get("host")?.path ?? "", "file"), "utf8")).toBe("words");
  });

  test.each([
    ["Directory", "file", "it is no folder"],
    ["File", "folder", "it is no file"],
    ["Socket", "file", "it is no socket"],
    ["Directory", "none", "nothing is there"],
    ["File", "none", "nothing is there"],
    ["File", "file", undefined],
    ["FileOrCreate", "none", undefined],
    ["Socket", "socket", undefined],
  ])("of type %s that is a %s: %j", async (type, name, problem) => {
    await using host = await aHost();
    await mkdir(join(host.dir, "folder"), { recursive: true });
    await writeFile(join(host.dir, "file"), "");
    const server = createServer().listen(join(host.dir, "socket"));

    const ready = host.ready(pod(join(host.dir, name), type), { hostPaths: [host.dir] });

    if (problem === undefined) expect((await ready).size).toBe(1);
    else await expect(ready).rejects.toThrow(problem);
    server.close();
  });
});
