import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readLog, trimLogs } from "../../standalone/logs.ts";

let folder: string;
let log: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "waybill-logs-"));
  log = join(folder, "worker.log");
});
afterEach(() => rm(folder, { recursive: true }));

test("a log that has grown too long starts anew, and its end is kept", async () => {
  await writeFile(log, "old\nnewer\nnewest\n");

  await trimLogs(folder, 13);
  await appendFile(log, "after\n");

  expect(await readFile(log, "utf8")).toBe("after\n");
  expect(await readFile(`${log}.1`, "utf8")).toBe("newer\nnewest\n");
});

test("a log within its bound is left alone", async () => {
  await writeFile(log, "short\n");

  await trimLogs(folder, 13);

  expect(await readFile(log, "utf8")).toBe("short\n");
});

test("what a part wrote since its start is found after words of any alphabet, and after a trim", async () => {
  const before = "… größer …\n";
  await writeFile(log, `${before}ready\n`);

  expect(await readLog(log, Buffer.byteLength(before))).toBe("ready\n");
  await writeFile(log, "ok\n");
  expect(await readLog(log, Buffer.byteLength(before))).toBe("ok\n");
  expect(await readLog(join(folder, "none.log"), 0)).toBe("");
});
