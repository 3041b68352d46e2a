import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { exec } from "../../../kit/exec.ts";
import type { Bases } from "../../../worker/build/base.ts";
import { digestOf } from "../../../worker/build/digest.ts";
import {
  appendLayers,
  emptyImage,
  imageDocuments,
  MANIFEST_TYPE,
} from "../../../worker/build/image.ts";
import { tomcatWarRun } from "../../../worker/build/recipe/tomcat-war.ts";
import type { Registry } from "../../../worker/build/registry.ts";
import { buildWarImage, type WarImageRequest } from "../../../worker/build/war-image.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import { validateImage } from "../../support/validate-image.ts";
import { aWar, type TestEntry, zipOf } from "../../support/wars.ts";

const ARTIFACTS = "artifacts/default";
const signal = new AbortController().signal;
let registry: TestRegistry;
let bases: Bases;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "waybill-test-build-"));
  registry = await startRegistry();
  bases = await tinyBases(registry.client);
});

afterEach(async () => {
  await registry?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test("a WAR becomes an image whose every digest is right, with the WAR's files and modes as we set them", async () => {
  const built = await build(aWar());

  const image = await validateImage(registry.client, "apps/default/shop", built.image);
  expect(image.layers).toHaveLength(4);
  expect(image.run.User).toBe("10001:10001");
  const classes = await listing(image.layers[3]?.digest);
  expect(classes).toEqual([
    "drwxr-xr-x 0/0 srv/",
    "drwxr-xr-x 0/0 srv/tomcat/",
    "drwxr-xr-x 0/0 srv/tomcat/webapps/",
    "drwxr-xr-x 0/0 srv/tomcat/webapps/ROOT/",
    "drwxr-xr-x 0/0 srv/tomcat/webapps/ROOT/WEB-INF/",
    "drwxr-xr-x 0/0 srv/tomcat/webapps/ROOT/WEB-INF/classes/",
    "drwxr-xr-x 0/0 srv/tomcat/webapps/ROOT/WEB-INF/classes/app/",
    "-rw-r--r-- 0/0 srv/tomcat/webapps/ROOT/WEB-INF/classes/app/Version.class",
  ]);
});

test("the same WAR again is the same image, and no byte is sent", async () => {
  const first = await build(aWar());
  const second = await build(aWar());

  expect(first.pushedBytes).toBeGreaterThan(0);
  expect(second).toMatchObject({ image: first.image, pushedBytes: 0 });
});

test("the same WAR is the same image on another machine", async () => {
  await using other = await startRegistry();
  const there = await build(
    aWar(),
    {},
    { registry: other.client, bases: await tinyBases(other.client) },
  );

  expect((await build(aWar())).image).toBe(there.image);
});

test("where one class changed, only the layer of classes is sent", async () => {
  const before = await build(aWar({ version: "1" }));
  const after = await build(aWar({ version: "2" }));

  const [old, young] = [await layersOf(before.image), await layersOf(after.image)];
  expect(young.slice(0, 3)).toEqual(old.slice(0, 3));
  expect(young[3]?.digest).not.toBe(old[3]?.digest);
  // The layer, the config and the manifest.
  expect(after.pushedBytes).toBeLessThan((young[3]?.size ?? 0) + 4_000);
});

test("a second app has the base without it being sent again", async () => {
  await build(aWar());
  const second = await build(aWar(), { repository: "apps/default/other" });

  const image = await validateImage(registry.client, "apps/default/other", second.image);
  const base = image.layers[0];
  expect(second.pushedBytes).toBeLessThan(base?.size ?? 0);
});

test("the context path is the folder of the app", async () => {
  const built = await build(aWar(), { contextPath: "/foo/bar" });

  const resources = (await layersOf(built.image))[2];
  expect(await listing(resources?.digest)).toContain(
    "-rw-r--r-- 0/0 srv/tomcat/webapps/foo#bar/index.html",
  );
});

test("long names and names beyond ASCII arrive as they are", async () => {
  const names = [
    `${"d".repeat(120)}/${"e".repeat(120)}/f.html`,
    `${"x".repeat(200)}.html`,
    "grüße.html",
  ];

  const built = await build(zipOf(names.map((name) => ({ name, content: name }))));

  const listed = (await listing((await layersOf(built.image))[1]?.digest)).join("\n");
  for (const name of names) expect(listed).toContain(`webapps/ROOT/${name}`);
});

test("a refused WAR leaves neither an image nor a file behind, and the next one is built", async () => {
  const bad: TestEntry[] = [
    { name: "a.html", content: "fine" },
    { name: "b.html", content: "x", crc: 7 },
  ];

  const refused = await attempt(zipOf(bad));

  expect(refused).toMatchObject({ kind: "refused", slug: "war-corrupt" });
  expect(await readdir(join(folder, "work"))).toEqual([]);
  await build(aWar());
  expect(await readdir(join(folder, "work"))).toEqual([]);
});

test("what a killed worker left in the work folder is removed by the next build", async () => {
  await build(aWar());
  // No process can have this number.
  await exec("/bin/mkdir", [join(folder, "work/war-99999999-abcdef")], { timeoutMs: 5_000 });

  await build(aWar());

  expect(await readdir(join(folder, "work"))).toEqual([]);
});

test("a registry that is away and a WAR that is not there are told apart", async () => {
  const missing = attempt(Buffer.from("never uploaded"), {}, { upload: false });
  await expect(missing).rejects.toMatchObject({ kind: "missing", status: 404 });

  await registry[Symbol.asyncDispose]();
  const away = attempt(aWar(), {}, { upload: false });
  await expect(away).rejects.toMatchObject({ kind: "unreachable" });
});

test("an aborted build ends with the abort and leaves nothing", async () => {
  const controller = new AbortController();
  const waiting: Bases = {
    ...bases,
    tomcat: (_progress, its) => {
      controller.abort(new Error("stopped"));
      its.throwIfAborted();
      return bases.tomcat(_progress, its);
    },
  };

  const aborted = attempt(aWar(), {}, { bases: waiting, signal: controller.signal });

  await expect(aborted).rejects.toThrow("stopped");
  expect(await readdir(join(folder, "work"))).toEqual([]);
});

type Surroundings = {
  readonly registry?: Registry;
  readonly bases?: Bases;
  readonly signal?: AbortSignal;
  readonly upload?: boolean;
};

async function attempt(
  war: Buffer,
  request: Partial<WarImageRequest> = {},
  { upload = true, ...around }: Surroundings = {},
) {
  const artifact = digestOf(war);
  const deps = {
    registry: registry.client,
    bases,
    workDir: join(folder, "work"),
    progress: async () => undefined,
    signal,
    ...around,
  };
  if (upload) await deps.registry.putBytes(ARTIFACTS, artifact, war, signal);
  return buildWarImage(deps, {
    artifact,
    artifactRepository: ARTIFACTS,
    repository: "apps/default/shop",
    contextPath: "/",
    tomcatVersion: "10.1",
    ...request,
  });
}

async function build(...args: Parameters<typeof attempt>) {
  const built = await attempt(...args);
  if (built.kind === "refused") throw new Error(built.message);
  return built;
}

async function layersOf(image: Parameters<typeof validateImage>[2]) {
  return (await validateImage(registry.client, "apps/default/shop", image)).layers;
}

/** What GNU tar makes of a layer: mode, owner and name of each record. */
async function listing(digest: ReturnType<typeof digestOf> | undefined): Promise<string[]> {
  if (digest === undefined) throw new Error("the image has no such layer");
  const tar = join(folder, "layer.tar");
  await writeFile(tar, await registry.client.smallBlob("apps/default/shop", digest, signal));
  const argv = ["--list", "--verbose", "--numeric-owner", "--quoting-style=literal", "--file", tar];
  const { stdout } = await exec("/usr/bin/tar", argv, { timeoutMs: 10_000 });
  return stdout
    .trim()
    .split("\n")
    .map((line) => {
      const [mode, owner, , , , ...name] = line.split(/\s+/);
      return `${mode} ${owner} ${name.join(" ")}`;
    });
}

/** A base of one small layer: what a build does with a base does not depend on what is in it. */
async function tinyBases(client: Registry): Promise<Bases> {
  const content = Buffer.alloc(50_000, "base");
  const layer = { digest: digestOf(content), bytes: content.length };
  const image = appendLayers(emptyImage("amd64"), [layer]);
  const { config, manifest } = imageDocuments(image, tomcatWarRun("10.1"));
  await client.putBytes("base/tiny", layer.digest, content, signal);
  await client.putBytes("base/tiny", config.digest, config.bytes, signal);
  const stored = { bytes: manifest.bytes, mediaType: MANIFEST_TYPE };
  await client.putManifest("base/tiny", "1", stored, signal);
  return {
    tomcat: async () => ({ repository: "base/tiny", digest: manifest.digest }),
    pause: async () => manifest.digest,
  };
}
