import { randomUUID } from "node:crypto";
import { appendFileSync, mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PodId } from "../../../contract/ids.ts";
import { LogBatch } from "../../../contract/node/logs.ts";
import { openLog } from "../../../kit/log.ts";
import type { ApiClient } from "../../../node-agent/api/client.ts";
import { type LogShipper, openLogShipper } from "../../../node-agent/logs/shipper.ts";
import { eventually } from "../../support/eventually.ts";

let logsDir = "";
let ending = new AbortController();
let shipper: LogShipper | undefined;
let logged: string[] = [];
/** What the api took, and the size of each batch. */
let taken: string[] = [];
let batches: number[] = [];

beforeEach(async () => {
  logsDir = await mkdtemp(join(tmpdir(), "waybill-test-shipper-"));
  ending = new AbortController();
  [logged, taken, batches] = [[], [], []];
});
afterEach(async () => {
  ending.abort();
  await shipper?.done;
  await rm(logsDir, { recursive: true });
});

/** Synchronous, so that the shipper finds the words of all who speak at once. */
function says(pod: PodId, text: string): void {
  mkdirSync(join(logsDir, pod), { recursive: true });
  const line = `2026-11-23T09:00:00.000000000Z stdout F ${text}\n`;
  appendFileSync(join(logsDir, pod, "web.0.log"), line);
}

/** Ships to an api that answers what `status` says to a batch, and keeps what it takes. */
function ship(status: (batch: LogBatch) => number): LogShipper {
  const ask = async ({ json }: { json?: unknown }) => {
    const batch = LogBatch.parse(json);
    batches.push(batch.chunks.length);
    if (status(batch) !== 200) return { status: status(batch), headers: {}, text: "" };
    taken.push(...batch.chunks.flatMap((it) => it.lines.map((line) => line.text)));
    const kept = batch.chunks.map(({ pod, container, attempt, to }) => {
      return { pod, container, attempt, to };
    });
    return { status: 200, headers: {}, text: JSON.stringify({ kept }) };
  };
  const log = openLog("test", (line) => logged.push(line));
  const client = { ask } as unknown as ApiClient;
  shipper = openLogShipper({ client, logsDir, signal: ending.signal, log });
  return shipper;
}

const aPodId = () => PodId.parse(randomUUID());

test("words that the api refuses are left out by themselves, and said to be", async () => {
  const pods = Array.from({ length: 9 }, aPodId);
  for (const [at, pod] of pods.entries()) says(pod, at === 4 ? "poison" : `word ${at}`);
  const isBad = (batch: LogBatch) =>
    batch.chunks.some(({ lines }) => lines.some((it) => it.text === "poison"));

  const { isShipped } = ship((batch) => (isBad(batch) ? 422 : 200));

  await eventually(() => expect(taken).toHaveLength(8));
  await eventually(() => expect(pods.every(isShipped)).toBe(true));
  expect(logged).toHaveLength(1);
  expect(logged[0]).toContain(pods[4]);
  expect(logged[0]).not.toContain("poison");
});

test("no batch holds more than the api takes, however many there are to tell about", async () => {
  const pods = Array.from({ length: 1_001 }, aPodId);
  for (const pod of pods) says(pod, "first");
  ship(() => 200);
  await eventually(() => expect(taken).toHaveLength(pods.length));

  for (const pod of pods) says(pod, "second");

  await eventually(() => expect(taken).toHaveLength(2 * pods.length));
  expect(Math.max(...batches)).toBeLessThanOrEqual(1_000);
});

test("words that were said since the api went away are not taken for shipped", async () => {
  const [known, late] = [aPodId(), aPodId()];
  says(known, "before");
  let away = false;
  const { isShipped } = ship(() => (away ? 503 : 200));
  await eventually(() => expect(isShipped(known)).toBe(true));

  away = true;
  const before = batches.length;
  says(known, "after");
  await eventually(() => expect(batches.length).toBeGreaterThan(before));
  says(late, "last words");

  expect([known, late].map(isShipped)).toEqual([false, false]);
  away = false;
  await eventually(() => expect([known, late].map(isShipped)).toEqual([true, true]));
  expect(taken.toSorted()).toEqual(["after", "before", "last words"]);
});

test("a log that cannot be read keeps no other from the api", async () => {
  const pods = Array.from({ length: 9 }, aPodId);
  const broken = aPodId();
  // Between the others, whichever end of the folder is listed first.
  for (const pod of pods.slice(4)) says(pod, "words");
  mkdirSync(join(logsDir, broken, "web.0.log"), { recursive: true });
  for (const pod of pods.slice(0, 4)) says(pod, "words");

  const { isShipped } = ship(() => 200);

  await eventually(() => expect(taken).toHaveLength(9));
  await eventually(() => expect(pods.every(isShipped)).toBe(true));
  expect(isShipped(broken)).toBe(false);
  expect(logged.join()).toContain("logs could not be read");
});
