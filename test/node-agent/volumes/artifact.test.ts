import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { exec } from "../../../kit/exec.ts";
import { mountTmpfs, unmount } from "../../../node-agent/host/mounts.ts";
import type { ArtifactRegistry, Layer } from "../../../node-agent/volumes/artifact/registry.ts";
import { openArtifacts } from "../../../node-agent/volumes/artifact/store.ts";

const TAR = "application/vnd.oci.image.layer.v1.tar";
const DIGEST = `sha256:${"a".repeat(64)}`;
const REFERENCE = `waybill.internal/team/docs@${DIGEST}`;

async function aFolder() {
  const path = await mkdtemp(join(tmpdir(), "waybill-test-artifact-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

type Piece = { readonly type: string; readonly bytes: Buffer; readonly title?: string };

/** A registry that holds one artifact of these pieces, and counts how often it is asked for it. */
function aRegistry(pieces: readonly Piece[]): ArtifactRegistry & { asked(): number } {
  const digestOf = (bytes: Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  let asked = 0;
  const layers: Layer[] = pieces.map(({ type, bytes, title }) => ({
    mediaType: type,
    digest: digestOf(bytes),
    size: bytes.length,
    annotations: title === undefined ? {} : { "org.opencontainers.image.title": title },
  }));
  return {
    asked: () => asked,
    async layers() {
      asked += 1;
      return layers;
    },
    async *bytes(_repository, { digest }) {
      const { bytes } = pieces.find((it) => digestOf(it.bytes) === digest) as Piece;
      for (let at = 0; at < bytes.length; at += 1_000) yield bytes.subarray(at, at + 1_000);
    },
  };
}

/** What Debian's own tar makes of a folder that `fill` has filled. */
async function tarOf(fill: (root: string) => Promise<void>, ...options: string[]): Promise<Buffer> {
  await using folder = await aFolder();
  const root = join(folder.path, "root");
  await mkdir(root);
  await fill(root);
  const file = join(folder.path, "layer.tar");
  await exec("/usr/bin/tar", ["-C", root, ...options, "-cf", file, "."], { timeoutMs: 10_000 });
  return readFile(file);
}

/** A tar of one entry, as nobody honest writes it. */
function tarOfEntry(name: string, type: string, link = "", body = ""): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write(`${body.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("        ", 148);
  header.write(type, 156);
  header.write(link, 157);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padded = Buffer.alloc(Math.ceil(body.length / 512) * 512);
  padded.write(body);
  return Buffer.concat([header, padded, Buffer.alloc(1024)]);
}

const withoutEnd = (tar: Buffer) => tar.subarray(0, tar.length - 1024);

describe("an artifact", () => {
  test("of archives and files is unpacked once, upper layers over lower ones, whiteouts and all", async () => {
    await using folder = await aFolder();
    const lower = await tarOf(async (root) => {
      await mkdir(join(root, "docs/old"), { recursive: true });
      await writeFile(join(root, "docs/page"), "one");
      await writeFile(join(root, "docs/gone"), "x");
      await writeFile(join(root, "docs/old/file"), "x");
      await writeFile(join(root, "n".repeat(200)), "long");
      await exec("/usr/bin/ln", ["-s", "docs", join(root, "link")], { timeoutMs: 1_000 });
      await exec("/usr/bin/ln", [join(root, "docs/page"), join(root, "hard")], {
        timeoutMs: 1_000,
      });
    }, "--format=pax");
    const upper = await tarOf(async (root) => {
      await mkdir(join(root, "docs/old"), { recursive: true });
      await writeFile(join(root, "docs/.wh.gone"), "");
      await writeFile(join(root, "docs/old/.wh..wh..opq"), "");
      await writeFile(join(root, "docs/old/new"), "new");
      await writeFile(join(root, "tool"), "#!/bin/sh\n", { mode: 0o755 });
    }, "--format=gnu");
    const registry = aRegistry([
      { type: `${TAR}+gzip`, bytes: gzipSync(lower) },
      { type: `${TAR}+zstd`, bytes: zstdCompressSync(upper) },
      { type: "text/plain", bytes: Buffer.from("words"), title: "notes/read.me" },
    ]);
    const artifacts = openArtifacts(folder.path, registry);

    const [root, same] = await Promise.all([
      artifacts.folder(REFERENCE),
      artifacts.folder(REFERENCE),
    ]);
    await openArtifacts(folder.path, registry).folder(REFERENCE);

    expect([registry.asked(), same]).toEqual([1, root]);
    // Node.js looks through links.
    const names = (await readdir(root, { recursive: true })).filter((it) => !/^link./.test(it));
    expect(names.toSorted()).toEqual(
      [
        "docs",
        "docs/old",
        "docs/old/new",
        "docs/page",
        "hard",
        "link",
        "n".repeat(200),
        "notes",
        "notes/read.me",
        "tool",
      ].toSorted(),
    );
    expect(await readFile(join(root, "hard"), "utf8")).toBe("one");
    expect(await readlink(join(root, "link"))).toBe("docs");
    expect(((await stat(join(root, "tool"))).mode & 0o777).toString(8)).toBe("755");
    expect(await readdir(folder.path)).toEqual(["a".repeat(64)]);
  });

  test.each([
    ["a path that goes up", [tarOfEntry("../out", "0", "", "x")]],
    ["a hard link that goes up", [tarOfEntry("in", "1", "../../etc/passwd")]],
    ["an archive that is cut off", [withoutEnd(tarOfEntry("in", "0", "", "x")).subarray(0, 512)]],
    ["a broken header", [Buffer.alloc(512, 0x41)]],
  ])("with %s is refused, and nothing of it stays", async (_what, parts) => {
    await using folder = await aFolder();
    const store = join(folder.path, "store");
    const registry = aRegistry(parts.map((bytes) => ({ type: TAR, bytes })));

    await expect(openArtifacts(store, registry).folder(REFERENCE)).rejects.toThrow();

    await openArtifacts(store, registry).keepOnly(() => []);
    expect(await readdir(store)).toEqual([]);
    expect(await readdir(folder.path)).toEqual(["store"]);
  });

  test("whose links lead out of it writes inside all the same", async () => {
    await using folder = await aFolder();
    const outside = join(folder.path, "outside");
    await mkdir(outside);
    const evil = Buffer.concat([
      withoutEnd(tarOfEntry("door", "2", outside)),
      withoutEnd(tarOfEntry("door/file", "0", "", "x")),
      withoutEnd(tarOfEntry("up", "2", "../../../..")),
      tarOfEntry("up/file", "0", "", "x"),
    ]);
    const artifacts = openArtifacts(
      join(folder.path, "store"),
      aRegistry([{ type: TAR, bytes: evil }]),
    );

    const root = await artifacts.folder(REFERENCE);

    expect(await readdir(outside)).toEqual([]);
    expect(await readFile(join(root, outside, "file"), "utf8")).toBe("x");
    expect((await lstat(join(root, "file"))).isFile()).toBe(true);
  });

  test("goes when nothing names it any more, and not while that is unknown", async () => {
    await using folder = await aFolder();
    const bytes = Buffer.from("words");
    const artifacts = openArtifacts(folder.path, aRegistry([{ type: "x", bytes, title: "file" }]));
    await artifacts.folder(REFERENCE);

    await artifacts.keepOnly(() => [REFERENCE]);
    await artifacts.keepOnly(() => undefined);
    expect(await readdir(folder.path)).toHaveLength(1);
    await artifacts.keepOnly(() => []);

    expect(await readdir(folder.path)).toEqual([]);
  });

  test("is not whole any more from the moment that it begins to go, and what is left of it goes too", async () => {
    await using folder = await aFolder();
    const bytes = Buffer.from("words");
    const registry = aRegistry([{ type: "x", bytes, title: "file" }]);
    const root = await openArtifacts(folder.path, registry).folder(REFERENCE);
    const precious = join(root, "mounted");
    await mkdir(precious);
    await mountTmpfs(precious, 4_096, []);

    // What is mounted in it stops its removal half-way.
    const removal = openArtifacts(folder.path, registry).keepOnly(() => []);
    await expect(removal).rejects.toThrow();
    const again = openArtifacts(folder.path, registry);
    const whole = await again.folder(REFERENCE);
    expect([whole, await readdir(whole)]).toEqual([root, ["file"]]);

    await unmount(join(`${root}.gone`, "mounted"));
    await again.keepOnly(() => [REFERENCE]);
    expect(await readdir(folder.path)).toEqual(["a".repeat(64)]);
  });

  test("is asked about again before it goes, and one that cannot go keeps no other one", async () => {
    await using folder = await aFolder();
    const places = ["b", "c", "d"].map((it) => join(folder.path, it.repeat(64)));
    for (const place of places) await mkdir(place);
    const busy = places[0] as string;
    await mountTmpfs(busy, 4_096, []);
    const artifacts = openArtifacts(folder.path, aRegistry([]));
    const left = () => readdirSync(folder.path).length;
    const wanted = ["c", "d"].map((it) => `waybill.internal/x@sha256:${it.repeat(64)}`);

    // As soon as one of the others is gone, a pod wants both.
    await expect(artifacts.keepOnly(() => (left() < 3 ? wanted : []))).rejects.toThrow("1 of 3");

    expect(left()).toBe(2);
    await unmount(busy);
  });

  test.each([
    ["bytes", { bytes: 9, entries: 9 }, "it unpacks to more than 9 bytes"],
    ["entries", { bytes: 99, entries: 1 }, "it has more than 1 entries"],
  ])("may not unpack to too many %s, all its parts together", async (_what, limits, problem) => {
    await using folder = await aFolder();
    const parts = ["one", "two"].map((name) => tarOfEntry(name, "0", "", "5byte"));
    const registry = aRegistry(parts.map((bytes) => ({ type: TAR, bytes })));

    const pull = (bounds: typeof limits) =>
      openArtifacts(folder.path, registry, bounds).folder(REFERENCE);

    await expect(pull(limits)).rejects.toThrow(problem);
    expect(await readdir(await pull({ bytes: 10, entries: 2 }))).toEqual(["one", "two"]);
  });

  test("may not be made of more folders than it may have entries", async () => {
    await using folder = await aFolder();
    const registry = aRegistry([{ type: TAR, bytes: tarOfEntry("a/b/c/d/e", "0") }]);

    const pull = openArtifacts(folder.path, registry, { bytes: 9, entries: 4 }).folder(REFERENCE);

    await expect(pull).rejects.toThrow("it has more than 4 entries");
  });
});
