import { randomBytes } from "node:crypto";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { expect, test } from "vitest";
import { FileWindow } from "../../../worker/build/file-window.ts";
import { readWarEntries } from "../../../worker/build/war-archive.ts";
import { readContent } from "../../../worker/build/war-content.ts";
import { type WarProblem, WarRefused } from "../../../worker/build/war-problem.ts";
import { aWar, type TestEntry, zipOf } from "../../support/wars.ts";

const MIB = 1024 * 1024;
const ok: TestEntry = { name: "index.html", content: "hello" };
const zeros = deflateRawSync(Buffer.alloc(8 * MIB));

const REFUSED: readonly (readonly [slug: WarProblem, what: string, war: Buffer])[] = [
  ["war-empty", "no bytes", Buffer.alloc(0)],
  ["war-empty", "a ZIP without entries", zipOf([])],
  ["war-not-zip", "random bytes", randomBytes(5_000)],
  ["war-not-zip", "a few letters", Buffer.from("PK")],
  ["war-truncated", "half a WAR", aWar().subarray(0, aWar().length / 2)],
  ["war-truncated", "a WAR without its last byte", aWar().subarray(0, -1)],
  ["war-truncated", "a WAR whose start is lost", aWar().subarray(200)],
  ["war-path-escapes", "../", zipOf([ok, { name: "../../etc/passwd" }])],
  ["war-path-escapes", ".. in the middle", zipOf([ok, { name: "a/../../b" }])],
  ["war-path-escapes", "..\\", zipOf([ok, { name: "..\\evil.jsp" }])],
  ["war-path-absolute", "/x", zipOf([ok, { name: "/etc/cron.d/x" }])],
  ["war-path-absolute", "C:\\x", zipOf([ok, { name: "C:\\windows\\x" }])],
  ["war-path-absolute", "c:/x", zipOf([ok, { name: "c:/x" }])],
  ["war-name-invalid", "a NUL", zipOf([ok, { name: "a\0.jsp" }])],
  ["war-name-invalid", "a line feed", zipOf([ok, { name: "a\nb" }])],
  ["war-name-invalid", "an escape sequence", zipOf([ok, { name: "a\u001b[2Jb" }])],
  ["war-name-invalid", "a backslash", zipOf([ok, { name: "WEB-INF\\web.xml" }])],
  ["war-name-invalid", "1,001 characters", zipOf([ok, { name: `${"abcdefghi/".repeat(100)}x` }])],
  ["war-name-invalid", "a part of 256 bytes", zipOf([ok, { name: "x".repeat(256) }])],
  ["war-name-invalid", "an empty part", zipOf([ok, { name: "a//b" }])],
  ["war-name-invalid", "a dot", zipOf([ok, { name: "a/./b" }])],
  ["war-name-invalid", "no name", zipOf([ok, { name: "" }])],
  ["war-name-invalid", "an image layer's mark of deletion", zipOf([ok, { name: "a/.wh.b" }])],
  ["war-name-invalid", "broken UTF-8", zipOf([ok, { name: Buffer.from([0x61, 0xff]) }])],
  ["war-duplicate-entry", "the same file twice", zipOf([ok, ok])],
  ["war-duplicate-entry", "a file that is a folder too", zipOf([{ name: "a" }, { name: "a/b" }])],
  [
    "war-duplicate-entry",
    "a folder that is a file too",
    zipOf([{ name: "a/b/" }, { name: "a/b" }]),
  ],
  ["war-symlink", "a symbolic link", zipOf([ok, { name: "l", content: "/etc", mode: 0o120777 }])],
  ["war-symlink", "a device", zipOf([ok, { name: "d", mode: 0o020666 }])],
  ["war-symlink", "a named pipe", zipOf([ok, { name: "p", mode: 0o010666 }])],
  ["war-too-many-entries", "100,001 entries", zipOf(many(100_001), { zip64: true })],
  ["war-too-many-entries", "100,001 entries counted in 16 bits", zipOf(many(100_001))],
  ["war-corrupt", "more entries than it declares", zipOf(many(65_540))],
  ["war-bomb", "an entry that inflates 1,000 times", zipOf([bomb({})])],
  ["war-bomb", "a bomb that declares one byte", zipOf([bomb({ declaredBytes: 1 })])],
  ["war-bomb", "a bomb that declares no byte", zipOf([bomb({ declaredBytes: 0 })])],
  ["war-bomb", "many small bombs", zipOf(small(400))],
  ["war-bomb", "more than 4 GiB", zipOf([{ ...bomb({}), declaredBytes: 0xfffffff0 }])],
  ["war-bomb", "overlapping entries", zipOf(overlapping(50))],
  ["war-encrypted", "a password", zipOf([ok, { name: "a", content: "x", flags: 0x801 }])],
  ["war-encrypted", "strong encryption", zipOf([ok, { name: "a", content: "x", flags: 0x841 }])],
  ["war-compression", "bzip2", zipOf([ok, { name: "a", content: "x", method: 12 }])],
  ["war-corrupt", "a wrong checksum", zipOf([ok, { name: "a", content: "abc", crc: 1 }])],
  ["war-corrupt", "bytes that do not inflate", zipOf([{ name: "a", packed: Buffer.from("~~~~") }])],
  ["war-corrupt", "fewer bytes than declared", zipOf([{ ...ok, declaredBytes: 50 }])],
  ["war-corrupt", "a few bytes more than declared", zipOf([{ ...ok, declaredBytes: 2 }])],
  ["war-corrupt", "a big file cut short", zipOf([{ ...big(), declaredBytes: 3 * MIB }])],
];

test.each(REFUSED)("%s is what a WAR with %s is told", async (slug, _what, war) => {
  const refusal = await readAll(war).then(
    () => undefined,
    (error: unknown) => error,
  );

  expect(refusal).toBeInstanceOf(WarRefused);
  expect(refusal).toMatchObject({ slug });
  // For a log line and a terminal: printable, one line, not endless.
  expect((refusal as WarRefused).message).toMatch(/^[\p{L}\p{N}\p{P}\p{S} ]{20,600}$/u);
});

test("a refusal names the first offenders and counts the others", async () => {
  const names = ["../a", "../b", "../c\u001b", "../d", "../e"];

  const refusal = readAll(zipOf([ok, ...names.map((name) => ({ name }))]));

  await expect(refusal).rejects.toThrow('"../a", "../b", "../c\\u{1b}" and 2 more leads out');
});

test.each([
  ["an honest app", aWar()],
  [
    "a start script before the archive",
    zipOf([ok], { prefix: Buffer.from("#!/bin/sh\nexit 0\n") }),
  ],
  ["the 64-bit format", zipOf([ok], { zip64: true })],
  ["100,000 entries", zipOf(many(100_000), { zip64: true })],
  ["names that differ in case only", zipOf([{ name: "a" }, { name: "A" }])],
  ["a folder named twice", zipOf([{ name: "a/" }, { name: "a/" }, { name: "a/b" }])],
  ["names beyond ASCII", zipOf([{ name: "grüße/日本.html", content: "x" }])],
  [
    "a small file that deflates well",
    zipOf([ok, { name: "z", content: Buffer.alloc(MIB) }, big()]),
  ],
  ["a big stored file", zipOf([{ ...big(), method: 0 }])],
])("a WAR with %s is taken, every byte of it", async (_what, war) => {
  await expect(readAll(war)).resolves.toBeGreaterThan(0);
});

async function readAll(war: Buffer): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "waybill-test-war-"));
  try {
    await writeFile(join(folder, "app.war"), war);
    await using file = await open(join(folder, "app.war"));
    const window = new FileWindow(file, war.length);
    const entries = await readWarEntries(window);
    for (const entry of entries) {
      if (entry.kind === "directory") continue;
      let bytes = 0;
      await readContent(window, entry, async (chunk) => {
        bytes += chunk.length;
        if (bytes > entry.inflatedBytes) throw new Error("more bytes than a layer has room for");
      });
    }
    return entries.length;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function many(count: number): TestEntry[] {
  return Array.from({ length: count }, (_, at) => ({ name: `f/${at}`, method: 0 }));
}

function bomb(lies: Partial<TestEntry>): TestEntry {
  return { name: "bomb", content: Buffer.alloc(8 * MIB), packed: zeros, ...lies };
}

function small(count: number): TestEntry[] {
  const content = Buffer.alloc(MIB - 1);
  const packed = deflateRawSync(content);
  return Array.from({ length: count }, (_, at) => ({ name: `b/${at}`, content, packed }));
}

function overlapping(count: number): TestEntry[] {
  const content = randomBytes(1_000);
  const packed = deflateRawSync(content);
  return Array.from({ length: count }, (_, at) => ({
    name: `o${String(at).padStart(3, "0")}`,
    content,
    packed,
    sameBytesAsBefore: at > 0,
  }));
}

function big(): TestEntry {
  return { name: "big.bin", content: Buffer.concat([randomBytes(MIB), Buffer.alloc(MIB + 7)]) };
}
