import { randomUUID } from "node:crypto";
import { appendFile, mkdir, mkdtemp, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { LogChunk } from "../../../contract/node/logs.ts";
import { type LogFiles, logFilesIn, setAside } from "../../../node-agent/logs/files.ts";
import { followLog, type LogFollower } from "../../../node-agent/logs/follower.ts";

const BUFFER = Buffer.alloc(64 * 1024);
const ROOM = 1024 * 1024;

/** A pod's log folder of this test's own. */
async function aFolder() {
  const logsDir = await mkdtemp(join(tmpdir(), "waybill-test-logs-"));
  const pod = randomUUID();
  await mkdir(join(logsDir, pod));
  const path = join(logsDir, pod, "web.0.log");
  let number = 0;
  return {
    path,
    files: () => logFilesIn(logsDir)[0] as LogFiles,
    write: async (count: number) => {
      const lines = Array.from({ length: count }, () => {
        return `2026-11-23T09:00:00.${String(number).padStart(9, "0")}Z stdout F line ${number++}\n`;
      });
      await appendFile(path, lines.join(""));
    },
    [Symbol.asyncDispose]: () => rm(logsDir, { recursive: true }),
  };
}

/** Everything that can be read now. */
async function readAll(follower: LogFollower): Promise<readonly LogChunk[]> {
  const chunks: LogChunk[] = [];
  while (follower.hasMore()) {
    const chunk = await follower.next(ROOM, BUFFER);
    if (chunk) chunks.push(chunk);
  }
  return chunks;
}

const texts = (chunks: readonly LogChunk[]) => chunks.flatMap((it) => it.lines.map((l) => l.text));
const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => `line ${from + at}`);

test("a log is followed across its rotations, every line once, and the bytes go on", async () => {
  await using folder = await aFolder();
  await folder.write(10);
  const follower = followLog(folder.files());
  follower.seek(0);
  const first = await readAll(follower);
  await folder.write(10);
  await setAside(folder.path);
  await folder.write(10);
  follower.refresh(folder.files());
  const second = await readAll(follower);
  await setAside(folder.path);
  await folder.write(10);
  follower.refresh(folder.files());
  const third = await readAll(follower);

  expect(texts([...first, ...second, ...third])).toEqual(numbered(0, 40));
  const all = [...first, ...second, ...third];
  expect(all[0]?.from).toBe(0);
  for (const [at, chunk] of all.entries()) if (at > 0) expect(chunk.from).toBe(all[at - 1]?.to);
});

test("a follower that begins anew finds its byte, whatever was rotated meanwhile", async () => {
  await using folder = await aFolder();
  await folder.write(10);
  const first = followLog(folder.files());
  first.seek(0);
  const kept = (await readAll(first)).at(-1)?.to ?? 0;
  await folder.write(5);
  await setAside(folder.path);
  await folder.write(5);

  const again = followLog(folder.files());
  again.seek(kept);

  expect(texts(await readAll(again))).toEqual(numbered(10, 20));
});

test("what was rotated away before it was read is counted as left out", async () => {
  await using folder = await aFolder();
  await folder.write(100);
  const follower = followLog(folder.files());
  follower.seek(0);
  await readAll(follower);
  for (let part = 0; part < 3; part++) {
    await folder.write(100);
    await setAside(folder.path);
  }
  await folder.write(1);
  follower.refresh(folder.files());

  const chunks = await readAll(follower);

  expect(texts(chunks)).toEqual(numbered(300, 401));
  const dropped = chunks.reduce((sum, it) => sum + it.dropped, 0);
  expect(dropped).toBeGreaterThan(150);
  expect(dropped).toBeLessThan(250);
});

test("a frame that is being written is waited for, also at the edge of a rotation", async () => {
  await using folder = await aFolder();
  await writeFile(folder.path, "2026-11-23T09:00:00Z stdout F hal");
  const follower = followLog(folder.files());
  follower.seek(0);
  expect(await readAll(follower)).toEqual([]);
  await rename(folder.path, `${folder.path}.0`);
  follower.refresh(folder.files());
  expect(await readAll(follower)).toEqual([]);

  await appendFile(`${folder.path}.0`, "f\n");
  await appendFile(folder.path, "2026-11-23T09:00:01Z stdout F whole\n");
  follower.refresh(folder.files());

  expect(texts(await readAll(follower))).toEqual(["half", "whole"]);
});

test("a log that somebody emptied goes on behind what the api has", async () => {
  await using folder = await aFolder();
  await folder.write(10);
  await truncate(folder.path, 0);
  const follower = followLog(folder.files());
  follower.seek(5_000);
  await folder.write(3);

  const chunks = await readAll(follower);

  expect(texts(chunks)).toEqual(numbered(10, 13));
  expect(chunks[0]?.from).toBe(5_000);
});

test("a chunk has no more room than it is given", async () => {
  await using folder = await aFolder();
  await folder.write(5_000);
  const follower = followLog(folder.files());
  follower.seek(0);

  const chunk = await follower.next(10_000, BUFFER);

  expect(JSON.stringify(chunk).length).toBeLessThan(12_000);
});
