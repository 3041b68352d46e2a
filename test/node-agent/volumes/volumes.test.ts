import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { StartError } from "../../../node-agent/act/start-error.ts";
import { mounts, mountTmpfs } from "../../../node-agent/host/mounts.ts";
import { removeMountedFolder } from "../../../node-agent/host/volumes.ts";
import { aHost, bytesOf, mode, podWith } from "./a-host.ts";

const MIB = 1024 * 1024;

/** Every kind of volume that an app may write to. */
const WRITABLE: readonly (readonly [string, object])[] = [
  ["an emptyDir", { emptyDir: {} }],
  ["an emptyDir in memory", { emptyDir: { medium: "Memory" } }],
  ["an emptyDir with a limit", { emptyDir: { sizeLimit: "2Mi" } }],
  ["a named volume", { persistentVolumeClaim: { claimName: "data" } }],
];

describe.each(WRITABLE)("%s", (_what, source) => {
  test.each([
    ["its pod has no group", {}, "777"],
    ["its pod has an fsGroup", { securityContext: { fsGroup: 4_711 } }, "2777"],
  ])(
    "has the mode that its app gives it, from the second start on, where %s",
    async (_group, spec, first) => {
      await using host = await aHost();
      const pod = podWith([{ name: "data", ...source }], [], spec);
      const path = (await host.ready(pod)).get("data")?.path ?? "";
      expect(await mode(path)).toBe(first);
      await chmod(path, 0o700);

      await host.ready(pod);

      expect(await mode(path)).toBe("700");
    },
  );
});

describe("a secret's and a config map's volume", () => {
  const values = {
    secrets: new Map([["db.v1", bytesOf({ password: "s3cret", user: "me" })]]),
    configMaps: new Map([["settings.v1", bytesOf({ "app.conf": "level=1" })]]),
  };

  test("holds a file for each key, in memory, that nobody can change", async () => {
    await using host = await aHost();
    const pod = podWith([
      { name: "secret", secret: { secretName: "db.v1", defaultMode: 0o400 } },
      { name: "config", configMap: { name: "settings.v1" } },
    ]);

    const ready = await host.ready(pod, { values });

    const secret = ready.get("secret")?.path ?? "";
    expect(await readFile(join(secret, "password"), "utf8")).toBe("s3cret");
    expect(await mode(join(secret, "password"))).toBe("400");
    expect(await readdir(secret)).toEqual(expect.arrayContaining(["password", "user"]));
    const config = ready.get("config")?.path ?? "";
    expect(await readFile(join(config, "app.conf"), "utf8")).toBe("level=1");
    expect(await mode(join(config, "app.conf"))).toBe("644");
    await expect(writeFile(join(secret, "password"), "x")).rejects.toThrow("EROFS");
    expect([...(await host.mounts(pod, ready)).values()].map((it) => it.readOnly)).toEqual([
      true,
      true,
    ]);
  });

  test("holds the named items where they are asked for, readable for the pod's group", async () => {
    await using host = await aHost();
    const items = [{ key: "password", path: "deep/er/pw", mode: 0o400 }];
    const secret = { secretName: "db.v1", items };
    const pod = podWith([{ name: "secret", secret }], [], { securityContext: { fsGroup: 9 } });

    const path = (await host.ready(pod, { values })).get("secret")?.path ?? "";

    expect(await readdir(path, { recursive: true })).toEqual(
      expect.arrayContaining(["deep", "deep/er", "deep/er/pw"]),
    );
    expect(await mode(join(path, "deep/er/pw"))).toBe("440");
    expect((await stat(join(path, "deep/er/pw"))).gid).toBe(9);
    expect(await readdir(path)).not.toContain("user");
  });

  test("that an agent left half-done is made anew, and a complete one needs no values any more", async () => {
    await using host = await aHost();
    const pod = podWith([{ name: "secret", secret: { secretName: "db.v1" } }]);
    const path = join(host.places.volumesDir(pod.metadata.uid), "secret");
    await mkdir(path, { recursive: true });
    await mountTmpfs(path, MIB, []);
    await writeFile(join(path, "half"), "");

    await host.ready(pod, { values });
    await host.ready(pod);

    expect((await readdir(path)).toSorted()).toEqual(["password", "user"]);
    expect((await mounts()).filter((it) => it.path === path)).toHaveLength(1);
  });

  test.each([
    [{ secret: { secretName: "none.v1" } }, 'the secret "none.v1" is not on this node'],
    [{ configMap: { name: "none.v1" } }, 'the config map "none.v1" is not on this node'],
    [
      { secret: { secretName: "db.v1", items: [{ key: "nope", path: "x" }] } },
      'the secret "db.v1" has no key "nope"',
    ],
  ])("%j says what is missing, and leaves nothing mounted", async (source, words) => {
    await using host = await aHost();
    const pod = podWith([{ name: "data", ...source }]);

    const ready = host.ready(pod, { values });

    await expect(ready).rejects.toThrow(StartError);
    await expect(ready).rejects.toThrow(words);
    const below = host.places.podDir(pod.metadata.uid);
    expect((await mounts()).filter((it) => it.path.startsWith(below))).toEqual([]);
  });

  test("that is optional is empty where nothing is there", async () => {
    await using host = await aHost();
    const pod = podWith([{ name: "data", secret: { secretName: "none.v1", optional: true } }]);

    const path = (await host.ready(pod)).get("data")?.path ?? "";

    expect(await readdir(path)).toEqual([]);
  });
});

describe("a named volume", () => {
  test("outlives its pods, and belongs to its project", async () => {
    await using host = await aHost();
    const claim = { name: "data", persistentVolumeClaim: { claimName: "shop-data" } };
    const [first, second] = [podWith([claim]), podWith([claim])];

    const path = (await host.ready(first)).get("data")?.path ?? "";
    await writeFile(join(path, "order"), "1");
    await removeMountedFolder(host.places.podDir(first.metadata.uid));
    const later = (await host.ready(second)).get("data")?.path ?? "";

    expect(await readFile(join(later, "order"), "utf8")).toBe("1");
    expect(later).toBe(host.places.namedVolume({ project: "team", name: "shop-data" }));
  });

  test("that an agent was killed over is opened to every user all the same", async () => {
    await using host = await aHost();
    const pod = podWith([{ name: "data", persistentVolumeClaim: { claimName: "data" } }]);
    const path = host.places.namedVolume({ project: "team", name: "data" });
    await mkdir(dirname(path), { recursive: true });
    await mkdir(path, { mode: 0o1000 });

    await host.ready(pod);

    expect(await mode(path)).toBe("777");
  });

  test("is given to the fsGroup of a later pod, and keeps what its app has set beside it", async () => {
    await using host = await aHost();
    const claim = { name: "data", persistentVolumeClaim: { claimName: "data" } };
    const path = (await host.ready(podWith([claim]))).get("data")?.path ?? "";
    await chmod(path, 0o701);

    await host.ready(podWith([claim], [], { securityContext: { fsGroup: 4_711 } }));

    expect([await mode(path), (await stat(path)).gid]).toEqual(["2771", 4_711]);
  });

  test("is read-only where the claim says so", async () => {
    await using host = await aHost();
    const persistentVolumeClaim = { claimName: "shop-data", readOnly: true };
    const pod = podWith([{ name: "data", persistentVolumeClaim }]);

    const seen = await host.mounts(pod, await host.ready(pod));

    expect(seen.get("/v/data")?.readOnly).toBe(true);
  });
});

test("a pod's folder goes with every mount in it, and nothing that was bound there is touched", async () => {
  await using host = await aHost();
  await mkdir(join(host.dir, "shared/below"), { recursive: true });
  await writeFile(join(host.dir, "shared/precious"), "words");
  await mountTmpfs(join(host.dir, "shared/below"), MIB, []);
  const pod = podWith(
    [
      { name: "host", hostPath: { path: join(host.dir, "shared") } },
      { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      { name: "disk", emptyDir: { sizeLimit: "2Mi" } },
    ],
    [
      { name: "host", mountPath: "/h", subPath: "below" },
      { name: "memory", mountPath: "/m", subPath: "x/y" },
    ],
  );
  await host.mounts(pod, await host.ready(pod, { hostPaths: [host.dir] }));

  await removeMountedFolder(host.places.podDir(pod.metadata.uid));

  const left = (await mounts()).map((it) => it.path).filter((it) => it.startsWith(host.dir));
  expect(left).toEqual([join(host.dir, "shared/below")]);
  expect(await readFile(join(host.dir, "shared/precious"), "utf8")).toBe("words");
  expect(await readdir(host.places.podsDir)).toEqual([]);
  const agent = (await mounts()).filter((it) => it.path.startsWith(host.places.podsDir));
  expect(agent).toEqual([]);
});
